//! The `#[cached_query]` attribute of data-cache.

mod arguments;
mod expand;

use proc_macro::TokenStream;
use syn::{Error, ItemFn, parse_macro_input};

/// Caches the `Ok` value of a function that returns `Result<Vec<RecordBatch>, E>`. An `Err` is never stored.
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
/// | `ttl_seconds = N` | TTL of a result; required. A result that an earlier build stored for longer is recomputed too |
/// | `on = name` | the warehouse argument: its cache is used, and each of its writes makes the result unreachable |
/// | `tables("a", "b")` | `invalidate_table("a")` removes the result |
/// | `skip(a, b)` | these arguments do not affect the result |
///
/// The key consists of the function (its path, its place in the source, its text, its tables), its const generics, the
/// type names of `Self` and of the generics of the impl block or trait around it, and the other arguments, which
/// must be `Clone + Into<data_cache::Value>`; results of a changed function are not reused. If one of those
/// types is a closure, which has no name of its own, nothing is stored. Two types with one type name, such as
/// local types in two blocks of a function, share results. `invalidate` matches the label `fn:module::name`,
/// for every function of this name.
///
/// Without `on`, the process-wide cache is used. Without `on`, or with a `FlightSql`, only the TTL limits a
/// result: changes of the underlying data are not noticed. With `FlightSqlConfig::state`, results of
/// functions `on` a `FlightSql` are not stored, since there is no statement whose state could be queried.
/// Callers that miss at the same time compute once.
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
