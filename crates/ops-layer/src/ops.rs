use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(
    feature = "log",
    feature = "trace",
    feature = "metrics",
    feature = "secrets",
    feature = "cache"
))]
use crate::glue;
use crate::{Config, Error};

/// The running operations layer. Cheap to clone; [`shutdown`](Self::shutdown) once at the end.
#[derive(Clone)]
pub struct Ops {
    parts: Arc<Parts>,
}

struct Parts {
    #[cfg(feature = "log")]
    log: ops_log::LogGuard,
    #[cfg(feature = "trace")]
    tracer: std::sync::Mutex<Option<ops_trace::Tracer>>,
    #[cfg(feature = "secrets")]
    secrets: ops_secrets::Secrets,
    #[cfg(feature = "cache")]
    cache: data_cache::Cache,
    #[cfg(feature = "cache")]
    cache_config: data_cache::Config,
}

/// Starts every part that is compiled in, and introduces them to each other: logging first, so that what
/// follows can speak, then secrets, traces, metrics, cache.
///
/// Nothing here waits for the network: a collector or AWS that does not answer is met later, off the request path.
///
/// # Errors
///
/// Where a configuration is wrong, or a directory cannot be used, and where a part is there already: it is called once,
/// before the first `get_secret` and `get_cache`. The message names the part.
pub fn init(config: Config) -> Result<Ops, Error> {
    tracing::debug!(target: "ops_layer", service = config.service_name, "starting");
    #[cfg(feature = "log")]
    let log = glue::log(&config)?;
    #[cfg(feature = "secrets")]
    let secrets = glue::secrets(&config)?;
    #[cfg(feature = "trace")]
    let tracer = glue::trace(&config)?;
    #[cfg(feature = "metrics")]
    glue::metrics(&config)?;
    #[cfg(feature = "cache")]
    let (cache, cache_config) = glue::cache(&config)?;
    let ops = Ops {
        parts: Arc::new(Parts {
            #[cfg(feature = "log")]
            log,
            #[cfg(feature = "trace")]
            tracer: std::sync::Mutex::new(Some(tracer)),
            #[cfg(feature = "secrets")]
            secrets,
            #[cfg(feature = "cache")]
            cache,
            #[cfg(feature = "cache")]
            cache_config,
        }),
    };
    #[cfg(feature = "metrics")]
    glue::publish(&ops);
    Ok(ops)
}

/// Answers nobody reads about: probes and scrapes.
#[cfg(any(feature = "log", feature = "trace"))]
const QUIET: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What looks on at each request.
#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
pub type Observers = (
    ops_trace::http::ServerSpans,
    ops_log::http::AccessLog,
    ops_metrics::http::RedMetrics,
);

impl Ops {
    /// One layer for each request: its span, its access line and its metrics. Add it outermost.
    #[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
    pub fn http(&self) -> ops_http::ObserveLayer<Observers> {
        ops_http::ObserveLayer::new((
            ops_trace::http::ServerSpans::new()
                .peer(ops_trace::axum::peer)
                .skip_paths(QUIET),
            ops_log::http::AccessLog::new()
                .route_field(true)
                .quiet(QUIET),
            ops_metrics::http::RedMetrics::new(),
        ))
    }

    /// Cache-Control, ETag and 304, as `http_cache` of cache.yaml says. Add it inside of [`http`](Self::http).
    #[cfg(feature = "cache")]
    pub fn http_cache(&self) -> data_cache::http::CacheLayer {
        data_cache::http::CacheLayer::new(&self.parts.cache_config)
    }

    /// The secrets; `get_secret` asks them too.
    #[cfg(feature = "secrets")]
    pub fn secrets(&self) -> &ops_secrets::Secrets {
        &self.parts.secrets
    }

    /// The query cache; `get_cache` and `#[cached_query]` use it too.
    #[cfg(feature = "cache")]
    pub fn cache(&self) -> &data_cache::Cache {
        &self.parts.cache
    }

    /// Puts what every part counted into the metrics. Called before each scrape.
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        #[cfg(feature = "log")]
        ops_log::publish_metrics();
        #[cfg(feature = "trace")]
        ops_trace::publish_metrics();
        #[cfg(feature = "secrets")]
        self.parts.secrets.publish_metrics();
        #[cfg(feature = "cache")]
        self.parts.cache.publish_metrics();
    }

    /// Writes the cache entries that wait, then sends the spans, then writes the lines that wait, all of it within this
    /// time. A line says how many spans were sent and lost, another one that cache entries were left unwritten.
    pub async fn shutdown(self, budget: Duration) {
        let started = std::time::Instant::now();
        let left = || budget.saturating_sub(started.elapsed());
        #[cfg(feature = "cache")]
        glue::flush_cache(self.parts.cache.clone(), left()).await;
        #[cfg(feature = "trace")]
        let tracer = self
            .parts
            .tracer
            .lock()
            .ok()
            .and_then(|mut tracer| tracer.take());
        #[cfg(feature = "trace")]
        if let Some(tracer) = tracer {
            let stats = tracer.shutdown(left()).await;
            tracing::info!(
                target: "ops_layer",
                exported = stats.exported,
                dropped = stats.dropped(),
                "spans_flushed"
            );
        }
        #[cfg(feature = "log")]
        self.parts.log.flush(left());
        let _ = left;
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops").finish_non_exhaustive()
    }
}
