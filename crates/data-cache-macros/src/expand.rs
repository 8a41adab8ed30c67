use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{Block, Error, FnArg, Ident, ItemFn, LitInt, LitStr, Pat, ReturnType, Signature, Type};

use crate::arguments::Arguments;

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream, Error> {
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = function;
    let ttl = ttl_of(arguments, sig)?;
    let keyed = keyed_arguments(arguments, sig)?;
    let ReturnType::Type(_, output) = &sig.output else {
        return Err(Error::new_spanned(
            &sig.ident,
            "cached_query requires a function that returns `Result<Vec<RecordBatch>, E>`",
        ));
    };
    let root = root();
    let name = &sig.ident;
    let tables = &arguments.tables;
    let label = quote!(::core::concat!(
        "fn:",
        ::core::module_path!(),
        "::",
        ::core::stringify!(#name)
    ));
    let constants = sig.generics.const_params().map(|constant| &constant.ident);
    let values = quote!(::std::vec![
        #((::core::stringify!(#constants), #root::Value::from(#constants)),)*
        #((::core::stringify!(#keyed), #root::Value::from(::core::clone::Clone::clone(&#keyed)))),*
    ]);
    let digest = digest(sig, block, tables);
    // functions of one name differ in their place, in the function or impl block around them, or in
    // their text; the type name of a closure contains the generics of that impl block and `Self`,
    // that of an item in the function does not
    let site = quote!(#root::FunctionSite {
        label: #label,
        place: ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!()),
        path: ::core::any::type_name_of_val(&|| ()),
        digest: #digest,
    });
    let call = match &arguments.on {
        Some(warehouse) => quote! {
            #root::FunctionCall::on(&#warehouse, #site, #ttl, &[#(#tables),*], #values)
        },
        None => quote!(#root::FunctionCall::new(#site, #ttl, &[#(#tables),*], #values)),
    };
    let body = match sig.asyncness {
        Some(_) => quote! {
            __call.run_async(async move {
                let __result: #output = async move #block.await;
                __result
            }).await
        },
        None => quote!(__call.run(move || -> #output #block)),
    };
    Ok(quote! {
        #(#attrs)* #vis #sig {
            let __call = #call;
            #body
        }
    })
}

fn ttl_of<'a>(arguments: &'a Arguments, sig: &Signature) -> Result<&'a LitInt, Error> {
    let ttl = arguments.ttl.as_ref();
    let ttl = ttl
        .ok_or_else(|| Error::new_spanned(&sig.ident, "cached_query requires `ttl_seconds = N`"))?;
    if ttl.base10_parse::<u64>()? == 0 {
        return Err(Error::new_spanned(
            ttl,
            "cached_query: ttl_seconds must be at least 1",
        ));
    }
    Ok(ttl)
}

/// Digests the text of a function and its tables, since a result is found by the tables that it was stored with: FNV-1a,
/// 64 bits.
fn digest(sig: &Signature, block: &Block, tables: &[LitStr]) -> u64 {
    let text = quote!(#sig #block #(#tables)*).to_string();
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Returns `true` if a type contains an `impl Trait`: a generic without a name.
fn is_generic(typed: &Type) -> bool {
    fn holds_impl(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == "impl",
            TokenTree::Group(group) => holds_impl(group.stream()),
            _ => false,
        })
    }
    holds_impl(typed.to_token_stream())
}

/// Returns the arguments that the result depends on.
fn keyed_arguments(arguments: &Arguments, sig: &Signature) -> Result<Vec<Ident>, Error> {
    if let Some(generic) = sig.generics.type_params().next() {
        return Err(Error::new_spanned(
            generic,
            "cached_query does not support generic functions: two types would share their results",
        ));
    }
    let mut named = Vec::new();
    for input in &sig.inputs {
        match input {
            FnArg::Typed(typed) if is_generic(&typed.ty) => {
                return Err(Error::new_spanned(
                    &typed.ty,
                    "cached_query does not support `impl Trait` arguments: two types would share their results",
                ));
            }
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(name) => named.push(name.ident.clone()),
                other => {
                    return Err(Error::new_spanned(
                        other,
                        "cached_query supports only plain named arguments",
                    ));
                }
            },
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(
                    receiver,
                    "cached_query supports only free functions, not methods",
                ));
            }
        }
    }
    let left_out: Vec<_> = arguments.skip.iter().chain(&arguments.on).collect();
    if let Some(unknown) = left_out.iter().find(|name| !named.contains(name)) {
        return Err(Error::new_spanned(
            unknown,
            format!("cached_query: the function has no argument `{unknown}`"),
        ));
    }
    named.retain(|name| !left_out.contains(&name));
    Ok(named)
}

/// Returns the path of data-cache in the calling crate: data-cache itself, or through ops-layer.
fn root() -> TokenStream {
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
