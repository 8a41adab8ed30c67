use data_cache::Cache;

use crate::{Config, Error};

/// The cache, whose queries are counted where they reach the engine.
pub(crate) fn cache(config: &Config) -> Result<(Cache, data_cache::Config), Error> {
    let settings = match &config.cache_yaml {
        Some(document) => data_cache::Config::from_yaml(&document.name, &document.text)
            .map_err(|error| Error::new("cache", error))?,
        None => data_cache::Config::default(),
    };
    let cache = Cache::open_with(&config.cache_dir, &settings)
        .map_err(|error| Error::new("cache", error))?;
    #[cfg(feature = "metrics")]
    {
        register();
        cache.on_query(count);
    }
    Ok((cache, settings))
}

/// The kinds of statement that are told apart; any other is `other`.
#[cfg(feature = "metrics")]
const QUERY_TYPES: [&str; 8] = [
    "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "CREATE", "COPY", "PRAGMA",
];

/// Every kind is there from the start, at zero.
#[cfg(feature = "metrics")]
fn register() {
    use ops_metrics::catalog;
    for query_type in QUERY_TYPES.into_iter().chain(["other"]) {
        catalog::duckdb_query_seconds(query_type);
        catalog::duckdb_query_total(query_type);
        catalog::duckdb_query_errors_total(query_type);
    }
}

/// The engine's own time: what the cache answered is no query of the database.
#[cfg(feature = "metrics")]
fn count(event: &data_cache::QueryEvent) {
    use ops_metrics::catalog;
    if matches!(event.status, data_cache::Status::Hit(_)) {
        return;
    }
    let known = QUERY_TYPES
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(&event.query_type));
    let query_type = known.unwrap_or("other");
    catalog::duckdb_query_seconds(query_type).observe(event.duration.as_secs_f64());
    catalog::duckdb_query_total(query_type).inc();
    if event.failed {
        catalog::duckdb_query_errors_total(query_type).inc();
    }
}

/// What was computed last reaches its files.
pub(crate) async fn flush_cache(cache: Cache, budget: std::time::Duration) {
    let flushed = tokio::task::spawn_blocking(move || cache.flush(budget)).await;
    if !matches!(flushed, Ok(true)) {
        tracing::warn!(target: "ops_layer", "cache_writes_cut_off");
    }
}
