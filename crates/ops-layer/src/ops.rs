use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Config, Error, glue};

/// The running operations layer. Cheap to clone; [`shutdown`](Self::shutdown) once at the end.
#[derive(Clone)]
pub struct Ops {
    parts: Arc<Parts>,
}

struct Parts {
    service: String,
    log: glue::log::Log,
    trace: glue::trace::Trace,
    secrets: glue::secrets::Part,
    cache: glue::cache::Part,
}

/// Starts every part that is compiled in and introduces them to each other: logging first, so that what
/// follows can log, then secrets, traces, metrics, cache.
///
/// Nothing here waits for the network: a collector or AWS that does not answer is noticed later, off the request path.
///
/// # Errors
///
/// Fails if a setting is invalid, a directory is unusable, or a part was started before: `init` runs once, before the first
/// `get_secret` and `get_cache`. The message names the part.
pub fn init(mut config: Config) -> Result<Ops, Error> {
    // one name for lines, spans and pages
    config.service_name = glue::trace::service_name(&config.service_name);
    glue::trace::follow_tracing();
    let log = glue::log::Log::start(&config)?;
    let secrets = glue::secrets::Part::start(&config)?;
    let trace = glue::trace::Trace::start(&config)?;
    glue::metrics::start(&config)?;
    let cache = glue::cache::Part::start(&config)?;
    let ops = Ops {
        parts: Arc::new(Parts {
            service: config.service_name,
            log,
            trace,
            secrets,
            cache,
        }),
    };
    glue::metrics::before_scrape({
        let ops = ops.clone();
        move || ops.publish_metrics()
    });
    Ok(ops)
}

/// The observers of each request: spans, access lines, metrics. A part that is compiled out observes nothing.
pub type Observers = (
    glue::trace::Observer,
    glue::log::Observer,
    glue::metrics::Observer,
);

/// The observers of each request that is sent: spans, metrics.
pub type ClientObservers = (glue::trace::ClientObserver, glue::metrics::ClientObserver);

impl Ops {
    /// Name of the service, as traces carry it.
    pub fn service(&self) -> &str {
        &self.parts.service
    }

    /// Returns one layer for each request: its span, its access line and its metrics. Add it outermost.
    pub fn http(&self) -> ops_http::ObserveLayer<Observers> {
        ops_http::ObserveLayer::new((
            glue::trace::observer(),
            glue::log::observer(),
            glue::metrics::observer(),
        ))
    }

    /// Returns one layer for each request that is sent: its CLIENT span and its metrics (`http_client_requests_total`,
    /// `http_client_request_latency_seconds`). Add it next to a tower HTTP client, inside of retries and timeouts.
    ///
    /// The hosts of [`Config::propagate_to`](crate::Config::propagate_to) get the trace context.
    pub fn http_client(&self) -> ops_http::ClientLayer<ClientObservers> {
        ops_http::ClientLayer::new((
            glue::trace::client_observer(),
            glue::metrics::client_observer(),
        ))
    }

    /// Returns the layer for `Cache-Control`, `ETag` and 304, as `http_cache` of cache.yaml says. Add it inside of
    /// [`http`](Self::http).
    #[cfg(feature = "cache")]
    pub fn http_cache(&self) -> data_cache::http::CacheLayer {
        data_cache::http::CacheLayer::new(&self.parts.cache.settings)
    }

    /// Returns the secrets; `get_secret` asks them too.
    #[cfg(feature = "secrets")]
    pub fn secrets(&self) -> &ops_secrets::Secrets {
        &self.parts.secrets.0
    }

    /// Returns the query cache; `get_cache` and `#[cached_query]` use it too.
    #[cfg(feature = "cache")]
    pub fn cache(&self) -> &data_cache::Cache {
        &self.parts.cache.cache
    }

    /// Sets the metrics to what every part counted. Called before each scrape.
    pub fn publish_metrics(&self) {
        glue::log::publish();
        glue::trace::publish();
        self.parts.secrets.publish();
        self.parts.cache.publish();
    }

    /// Writes the cache entries that wait, then sends the spans, then writes the lines that wait, all of it within
    /// `budget`. A line counts the spans that were exported and dropped, another one reports cache entries that were not
    /// written.
    pub async fn shutdown(self, budget: Duration) {
        let started = Instant::now();
        let left = || budget.saturating_sub(started.elapsed());
        self.parts.cache.flush(left()).await;
        self.parts.trace.shutdown(left()).await;
        self.parts.log.flush(left());
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops")
            .field("service", &self.parts.service)
            .finish_non_exhaustive()
    }
}
