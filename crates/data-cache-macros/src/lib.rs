//! The `#[cached_query]` attribute of data-cache.

mod arguments;
mod expand;

use proc_macro::TokenStream;
use syn::{Error, ItemFn, parse_macro_input};

/// Keeps the `Ok` of a function that returns `Result<Vec<RecordBatch>, E>`. An `Err` is never kept.
///
/// ```text
/// #[cached_query(ttl_seconds = 3600)]
/// async fn user_stats(user_id: i64) -> Result<Vec<RecordBatch>, Error> { … }
///
/// #[cached_query(ttl_seconds = 3600, on = warehouse, tables("users"))]
/// async fn users(warehouse: &CachedWarehouse, region: String) -> Result<Vec<RecordBatch>, Error> { … }
/// ```
///
/// | argument | meaning |
/// |---|---|
/// | `ttl_seconds = N` | how long a result lives; required. One that an earlier build kept for longer is computed anew, too |
/// | `on = name` | the argument that is the warehouse: its cache is used, and each of its writes makes the result unreachable. If it is a `FlightSql`, the result obeys its TTL alone; with `FlightSqlConfig::state` it is not kept, as no statement is known to ask the state of |
/// | `tables("a", "b")` | `invalidate_table("a")` removes the result |
/// | `skip(a, b)` | these arguments do not change the result |
///
/// The key is the function (its path, its place in the source, its text), constants of its generics, `Self` and the generics
/// of the impl block or trait around it, by the names of their types, and the other
/// arguments, which must be `Clone + Into<data_cache::Value>`; a changed function starts anew. If one of those types is a closure,
/// which has no name of its own, nothing is kept. The label
/// `fn:module::name` is what `invalidate` matches, for each function of this name. Without `on` the process-wide cache is used, and a result lives by
/// its TTL alone: nothing notices that the data behind it changed. Callers that miss at the same time compute once.
#[proc_macro_attribute]
pub fn cached_query(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let mut arguments = arguments::Arguments::default();
    let parser = syn::meta::parser(|meta| arguments.parse(&meta));
    parse_macro_input!(attributes with parser);
    let function = parse_macro_input!(item as ItemFn);
    expand::expand(&arguments, &function)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}
