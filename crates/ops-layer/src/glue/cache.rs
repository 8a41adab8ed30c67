use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use data_cache::{Cache, QueryEvent};

use super::secrets;
use super::shared::Bucket;
use crate::findings::snapshot::{Cache as Seen, Queries, SLOW_QUERY, Shared};
use crate::{Config, Error};

pub(crate) use data_cache::Config as Settings;

/// The cache, which `get_cache` and `#[cached_query]` also use. Its queries
/// are spans of their callers, and are counted when they reach the engine.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) cache: Cache,
    pub(crate) settings: data_cache::Config,
    counts: Arc<QueryCounts>,
    bucket: Bucket,
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) origin: Origin,
}

/// Origin of the settings.
#[cfg(all(feature = "admin", feature = "serve"))]
#[derive(Debug)]
pub(crate) enum Origin {
    Code,
    /// File with this name.
    File(String),
    Default,
}

#[cfg(all(feature = "admin", feature = "serve"))]
impl Origin {
    fn of(config: &Config) -> Self {
        match (&config.cache, &config.cache_yaml) {
            (Some(_), _) => Self::Code,
            (None, Some(document)) => Self::File(document.name.clone()),
            (None, None) => Self::Default,
        }
    }
}

/// System whose queries are counted: metrics and findings about DuckDB cover no other engine.
const DUCKDB: &str = "duckdb";

/// Queries that reached DuckDB.
#[derive(Debug, Default)]
struct QueryCounts {
    run: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
}

impl Part {
    pub(crate) fn start(config: &Config, secrets: &secrets::Part) -> Result<Self, Error> {
        let failed = |error| Error::new("cache", error);
        let settings = match (&config.cache, &config.cache_yaml) {
            (Some(settings), _) => settings.clone(),
            (None, Some(document)) => {
                Settings::from_yaml(&document.name, &document.text).map_err(failed)?
            }
            (None, None) => Settings::default(),
        };
        let cache = Cache::open_with(config.dir_of_cache(), &settings).map_err(failed)?;
        let bucket = Bucket::join(&cache, &settings, config, secrets)?;
        #[cfg(any(feature = "log", feature = "trace"))]
        cache.carry_context(carry);
        #[cfg(feature = "trace")]
        cache.on_query(trace);
        #[cfg(feature = "metrics")]
        {
            register();
            cache.on_query(count);
        }
        let counts = Arc::<QueryCounts>::default();
        let counted = counts.clone();
        cache.on_query(move |event| counted.count(event));
        data_cache::install(cache.clone()).map_err(failed)?;
        Ok(Self {
            cache,
            settings,
            counts,
            bucket,
            #[cfg(all(feature = "admin", feature = "serve"))]
            origin: Origin::of(config),
        })
    }

    pub(crate) fn look(&self) -> (Option<Seen>, Option<Queries>) {
        let stats = self.cache.get_stats();
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let seen = Seen {
            hits: stats.hits,
            misses: stats.misses,
            evicted: stats.evicted_size,
            invalidated: stats.evicted_invalidated,
            expired: stats.evicted_expired,
            not_stored: stats.not_stored,
            is_paused: stats.writes_paused,
        };
        let queries = Queries {
            run: load(&self.counts.run),
            failed: load(&self.counts.failed),
            slow: load(&self.counts.slow),
        };
        (Some(seen), Some(queries))
    }

    /// Reads the state of the bucket through which machines share results.
    pub(crate) fn look_at_shared(&self) -> Option<Shared> {
        self.bucket.look(&self.cache)
    }

    pub(crate) fn publish(&self) {
        self.bucket.look(&self.cache);
        #[cfg(feature = "metrics")]
        self.cache.publish_metrics();
    }

    /// Writes pending entries to their files, on a separate thread: those of the runtime may all be blocked.
    pub(crate) async fn flush(&self, budget: std::time::Duration) {
        let cache = self.cache.clone();
        let (done, flushed) = tokio::sync::oneshot::channel();
        let flushing = std::thread::Builder::new()
            .name("ops-cache-stop".to_owned())
            .spawn(move || done.send(cache.flush(budget)));
        let is_flushed = match flushing {
            Ok(_) => matches!(flushed.await, Ok(true)),
            // if no thread can be started, this one does the work
            Err(_) => self.cache.flush(budget),
        };
        if !is_flushed {
            tracing::warn!(
                target: "ops_layer", budget_seconds = budget.as_secs_f64(), "cache_writes_cut_off"
            );
        }
    }
}

impl QueryCounts {
    fn count(&self, event: &QueryEvent) {
        let Some(ran) = time_at_duckdb(event) else {
            return;
        };
        self.run.fetch_add(1, Ordering::Relaxed);
        self.failed
            .fetch_add(u64::from(event.failed), Ordering::Relaxed);
        let is_slow = ran > SLOW_QUERY;
        self.slow.fetch_add(u64::from(is_slow), Ordering::Relaxed);
    }
}

/// Returns the time at DuckDB, including the wait for one of its
/// connections; `None` if DuckDB was not queried, as on a cache hit.
fn time_at_duckdb(event: &QueryEvent) -> Option<std::time::Duration> {
    event.ran.filter(|_| event.system == DUCKDB)
}

/// Carries log context and span of the caller to the thread that does the work.
#[cfg(any(feature = "log", feature = "trace"))]
fn carry(work: data_cache::Job) -> data_cache::Job {
    #[cfg(feature = "trace")]
    let work = ops_trace::carry(work);
    #[cfg(feature = "log")]
    let work = ops_log::carry(work);
    Box::new(work)
}

/// Records a span by the semantic conventions for databases.
#[cfg(feature = "trace")]
fn trace(event: &QueryEvent) {
    let operation = event.query_type.clone();
    let span = ops_trace::completed_span(operation.clone(), event.start, event.duration)
        .attribute("db.system.name", event.system)
        .attribute("db.operation.name", operation)
        .attribute("db.query.text", event.sql.clone())
        .attribute("db.response.returned_rows", event.rows)
        .attribute("cache.status", event.status.as_str());
    let span = match &event.profile {
        Some(profile) => profiled(span, profile),
        None => span,
    };
    if event.failed {
        span.error("query_failed").record();
    } else {
        span.record();
    }
}

/// Adds attributes for the time that a slow query spent: an operator has no start and end of its own, and so no span.
#[cfg(feature = "trace")]
fn profiled(
    span: ops_trace::CompletedSpan,
    profile: &data_cache::Profile,
) -> ops_trace::CompletedSpan {
    use data_cache::OperatorKind;
    let seconds = |kind| profile.time_of(kind).as_secs_f64();
    span.attribute("duckdb.planning_seconds", profile.planning.as_secs_f64())
        .attribute("duckdb.scan_seconds", seconds(OperatorKind::Scan))
        .attribute("duckdb.join_seconds", seconds(OperatorKind::Join))
        .attribute("duckdb.aggregate_seconds", seconds(OperatorKind::Aggregate))
        .attribute("duckdb.sort_seconds", seconds(OperatorKind::Sort))
        .attribute("duckdb.spilled_bytes", profile.spilled_bytes)
        .attribute("duckdb.operators", profile.to_string())
}

/// Statement types with a label of their own; any other is `other`.
#[cfg(feature = "metrics")]
const QUERY_TYPES: [&str; 8] = [
    "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "CREATE", "COPY", "PRAGMA",
];

/// Registers every type at zero.
#[cfg(feature = "metrics")]
fn register() {
    use ops_metrics::catalog;
    for query_type in QUERY_TYPES.into_iter().chain(["other"]) {
        catalog::duckdb_query_seconds(query_type);
        catalog::duckdb_query_total(query_type);
        catalog::duckdb_query_errors_total(query_type);
    }
}

#[cfg(feature = "metrics")]
fn count(event: &QueryEvent) {
    use ops_metrics::catalog;
    let Some(ran) = time_at_duckdb(event) else {
        return;
    };
    let known = QUERY_TYPES
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(&event.query_type));
    let query_type = known.unwrap_or("other");
    catalog::duckdb_query_seconds(query_type).observe(ran.as_secs_f64());
    catalog::duckdb_query_total(query_type).inc();
    // the series exists with 0 before the first error, which is then an increase
    catalog::duckdb_query_errors_total(query_type).add(u64::from(event.failed));
}
