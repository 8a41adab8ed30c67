//! The `#[cached_query]` attribute of data-cache.

mod expand;

use proc_macro::TokenStream;
use syn::{Error, ItemFn, LitInt, parse_macro_input};

/// Keeps the `Ok` of a function that returns `Result<Vec<RecordBatch>, E>` in the process-wide cache.
///
/// `#[cached_query(ttl_seconds = 3600)]`, on `fn` and `async fn`. The key is `fn:module::name` and the arguments,
/// which must be `Clone + Into<data_cache::Value>`. The entry lives by its TTL alone, or until
/// `invalidate("fn:…")`; callers that miss at the same time each compute. Look-ups read files on the calling thread.
#[proc_macro_attribute]
pub fn cached_query(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let mut ttl: Option<LitInt> = None;
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("ttl_seconds") {
            ttl = Some(meta.value()?.parse()?);
            return Ok(());
        }
        Err(meta.error("cached_query accepts `ttl_seconds = N`"))
    });
    parse_macro_input!(attributes with parser);
    let function = parse_macro_input!(item as ItemFn);
    expand::expand(ttl, function)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}
