//! The `#[cached_query]` attribute of data-cache.

use proc_macro::TokenStream;
use proc_macro_crate::{FoundCrate, crate_name};
use quote::{format_ident, quote};
use syn::{Error, FnArg, ItemFn, LitInt, Pat, parse_macro_input};

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
    expand(ttl, function)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

fn expand(ttl: Option<LitInt>, function: ItemFn) -> Result<proc_macro2::TokenStream, Error> {
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = &function;
    let ttl =
        ttl.ok_or_else(|| Error::new_spanned(&sig.ident, "cached_query needs `ttl_seconds = N`"))?;
    if ttl.base10_parse::<u64>()? == 0 {
        return Err(Error::new_spanned(
            ttl,
            "cached_query: ttl_seconds must be 1 or more",
        ));
    }
    let mut arguments = Vec::new();
    for input in &sig.inputs {
        match input {
            FnArg::Typed(typed) if matches!(*typed.pat, Pat::Ident(_)) => {
                if let Pat::Ident(name) = &*typed.pat {
                    arguments.push(name.ident.clone());
                }
            }
            other => {
                return Err(Error::new_spanned(
                    other,
                    "cached_query takes plain named arguments",
                ));
            }
        }
    }
    let root = root();
    let name = &sig.ident;
    let output = &sig.output;
    let body = match sig.asyncness {
        Some(_) => quote!((async move || #output #block)().await),
        None => quote!((move || #output #block)()),
    };
    Ok(quote! {
        #(#attrs)* #vis #sig {
            let __call = #root::FunctionCall::new(
                ::core::concat!("fn:", ::core::module_path!(), "::", ::core::stringify!(#name)),
                #ttl,
                ::std::vec![#((::core::stringify!(#arguments), #root::Value::from(::core::clone::Clone::clone(&#arguments)))),*],
            );
            if let ::core::option::Option::Some(__kept) = __call.get() {
                return ::core::result::Result::Ok(__kept);
            }
            let __result = #body;
            if let ::core::result::Result::Ok(__batches) = &__result {
                __call.keep(__batches);
            }
            __result
        }
    })
}

/// data-cache as the calling crate knows it: itself, or through ops-layer.
fn root() -> proc_macro2::TokenStream {
    let path = |found| match found {
        FoundCrate::Itself => None,
        FoundCrate::Name(name) => Some(format_ident!("{name}")),
    };
    match (crate_name("data-cache"), crate_name("ops-layer")) {
        (Ok(found), _) => path(found).map_or_else(|| quote!(::data_cache), |name| quote!(::#name)),
        (_, Ok(found)) => {
            path(found).map_or_else(|| quote!(::ops_layer::cache), |name| quote!(::#name::cache))
        }
        _ => quote!(::data_cache),
    }
}
