use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Ident, LitInt, LitStr, Token, parenthesized};

/// Arguments in the parentheses of `#[cached_query(…)]`.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) ttl: Option<LitInt>,
    pub(crate) on: Option<Ident>,
    pub(crate) tables: Vec<LitStr>,
    pub(crate) skip: Vec<Ident>,
}

impl Arguments {
    pub(crate) fn parse(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        if meta.path.is_ident("ttl_seconds") {
            self.ttl = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("on") {
            self.on = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("tables") {
            let inside;
            parenthesized!(inside in meta.input);
            let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&inside)?;
            self.tables.extend(names);
        } else if meta.path.is_ident("skip") {
            let inside;
            parenthesized!(inside in meta.input);
            let names = Punctuated::<Ident, Token![,]>::parse_terminated(&inside)?;
            self.skip.extend(names);
        } else {
            return Err(meta.error(
                "unknown argument; cached_query accepts `ttl_seconds = N`, `on = argument`, `tables(\"name\", …)` and `skip(argument, …)`",
            ));
        }
        Ok(())
    }
}
