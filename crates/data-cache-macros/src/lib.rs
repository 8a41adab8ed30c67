//! The #[cached_query] attribute of data-cache.
