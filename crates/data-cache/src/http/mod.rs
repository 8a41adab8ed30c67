//! `Cache-Control`, `ETag` and 304 from `cache.yaml`, as a tower layer, and a helper for handlers of cached queries.
//!
//! - GET and HEAD with status 200, 206 or 304 on a stable endpoint get `public, max-age=N`; `private` if the request
//!   carries `Authorization`, a session cookie or one of `credential_headers`; `Vary` with all of these in both cases;
//!   `no-store` if the response sets a cookie. Errors get `no-store`. Files below `/static/` and `/assets/` get
//!   `static_max_age`, pages (`text/html`) `no-cache`.
//! - HEAD is passed to the handler as GET; the body is dropped, its tag and length are kept.
//! - A response without `ETag` whose length is known and at most 1 MiB gets a weak one; a stream is never changed.
//! - A matching `If-None-Match` results in 304, with the headers that the 200 would have (RFC 9110 section 15.4.5), and
//!   takes precedence over a range. An `If-Modified-Since` beside it is not passed to the handler (section 13.1.3).
//! - Headers set by a handler are kept. If it sets `Expires`, no `max-age` is added.
//!
//! If the body comes from a cached query, [`Validator`] allows a 304 before the body is built:
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
