//! `Cache-Control`, `ETag` and 304 from `cache.yaml`, as a tower layer, and what handlers of cached queries need.
//!
//! - GET and HEAD with status 200, 206 or 304 on a stable endpoint get `public, max-age=N`; `private` if the request carries
//!   `Authorization`, a session cookie or one of `credential_headers`, and `Vary` with all of them either way; `no-store` if
//!   the response sets a cookie. Errors get `no-store`. Files below `/static/` and `/assets/` get `static_max_age`, pages
//!   (`text/html`) `no-cache`.
//! - The handler answers HEAD as GET; the body is left out, the tag and the length of it are not.
//! - A response without `ETag` whose length is known and at most 1 MiB gets a weak one; a stream is never touched.
//! - A matching `If-None-Match` is answered 304, with the headers that the 200 would carry (RFC 9110 section 15.4.5), before a
//!   range is. The handler does not see an `If-Modified-Since` beside it (section 13.1.3).
//! - Headers that a handler set stay. Beside an `Expires` of its own there is no `max-age`.
//!
//! If the body comes from a cached query, [`Validator`] answers 304 before the body is built:
//!
//! ```
//! # #[cfg(feature = "duckdb")] {
//! use data_cache::{Cache, Warehouse, http::Validator, params};
//! # let dir = tempfile::tempdir().unwrap();
//! let warehouse = Warehouse::in_memory().unwrap().cached(Cache::open(dir.path()).unwrap());
//! let result = warehouse.query("SELECT 42 AS answer", params! {}).blocking().unwrap();
//!
//! let mut request = http::HeaderMap::new();
//! let first = Validator::of(&result, "json/1");
//! assert!(!first.is_current(&request));            // build the body, and add first.headers()
//! request.insert("if-none-match", first.headers()["etag"].clone());
//! assert!(first.is_current(&request));             // answer 304 with first.headers() and no body
//! # }
//! ```

mod body;
mod condition;
mod control;
mod service;
mod validator;

pub use body::CachedBody;
pub use service::{CacheLayer, CacheService, CachedFuture};
pub use validator::Validator;
