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
            if let Some(name) = names.iter().find(|name| !may_name_table(&name.value())) {
                return Err(syn::Error::new(
                    name.span(),
                    "cached_query: not the name of one table; expected names as in SQL, such as `\"orders\", \"main.users\"`, \
                     or `\"\\\"my-table\\\"\"` in its own quotes",
                ));
            }
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

/// Returns `false` for a text that names no table, such as two names separated by a comma.
fn may_name_table(text: &str) -> bool {
    let is_outside = |c: char| c.is_alphanumeric() || "_$. \t\r\n".contains(c);
    let is_one = |part: &str| !part.trim().contains(char::is_whitespace);
    let mut unquoted = text.split('"').step_by(2);
    let has_both_quotes = text.matches('"').count().is_multiple_of(2);
    let are_names =
        unquoted.all(|part| part.chars().all(is_outside) && part.split('.').all(is_one));
    has_both_quotes && are_names && !text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::parse::Parser;

    use super::*;

    fn refusal_of(tables: &str) -> Option<String> {
        let mut arguments = Arguments::default();
        let parser = syn::meta::parser(|meta| arguments.parse(&meta));
        let parsed = parser.parse2(quote!(ttl_seconds = 60, tables("orders", #tables)));
        parsed.err().map(|error| error.to_string())
    }

    #[test]
    fn a_text_that_names_no_table_is_refused() {
        for tables in [
            "orders, users",
            "",
            " ",
            "orders AS o",
            "orders;",
            "\"orders",
            "SELECT * FROM orders",
            "my-table",
        ] {
            let refusal = refusal_of(tables).unwrap_or_default();
            assert!(
                refusal.contains("not the name of one table"),
                "{tables}: {refusal}"
            );
        }
        for table in [
            "orders",
            "Bücher$1",
            " main . orders ",
            "\"a, b; c\"",
            "w.\"my \"\"main\"\"\".\"t t\"",
        ] {
            assert_eq!(refusal_of(table), None, "{table}");
        }
    }
}
