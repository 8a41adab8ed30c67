use proc_macro_crate::{FoundCrate, crate_name};
use quote::{format_ident, quote};
use syn::{Error, FnArg, ItemFn, LitInt, Pat};

pub(crate) fn expand(
    ttl: Option<LitInt>,
    function: ItemFn,
) -> Result<proc_macro2::TokenStream, Error> {
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
