use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router, middleware};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{guard, page, state};

/// The admin page of one service.
#[derive(Clone)]
pub struct Admin {
    inner: Arc<Inner>,
}

type Readiness = Arc<dyn Fn() -> Option<String> + Send + Sync>;

#[derive(Clone)]
struct Inner {
    service: String,
    started: Instant,
    readiness: Readiness,
    hosts: Vec<String>,
    #[cfg(feature = "secrets")]
    secrets: Option<ops_secrets::Secrets>,
    #[cfg(feature = "cache")]
    cache: Option<data_cache::Cache>,
}

impl Admin {
    /// A page for the service of this name, which is ready from the start.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                service: service.into(),
                started: Instant::now(),
                readiness: Arc::new(|| None),
                hosts: Vec::new(),
                #[cfg(feature = "secrets")]
                secrets: None,
                #[cfg(feature = "cache")]
                cache: None,
            }),
        }
    }

    /// Says why the service is not ready; `None` where it is. Asked on each `/readyz`.
    #[must_use]
    pub fn readiness(
        mut self,
        readiness: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.inner).readiness = Arc::new(readiness);
        self
    }

    /// Answers requests for this host name too, besides loopback. Without a port.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).hosts.push(host.into());
        self
    }

    /// Shows the report of these secrets.
    #[cfg(feature = "secrets")]
    #[must_use]
    pub fn secrets(mut self, secrets: ops_secrets::Secrets) -> Self {
        Arc::make_mut(&mut self.inner).secrets = Some(secrets);
        self
    }

    /// Shows the statistics of this cache.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache(mut self, cache: data_cache::Cache) -> Self {
        Arc::make_mut(&mut self.inner).cache = Some(cache);
        self
    }

    /// The name of the service.
    pub fn service(&self) -> &str {
        &self.inner.service
    }

    /// Every route, to be served on a listener of its own.
    pub fn router(self) -> Router {
        let router = Router::new()
            .route("/", get(page::page))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/api/state", get(current_state));
        #[cfg(feature = "log")]
        let router = router.route("/api/level", axum::routing::post(crate::level::change));
        #[cfg(feature = "metrics")]
        let router = router.route("/metrics", get(metrics));
        let guard = middleware::from_fn_with_state(self.clone(), guard::check);
        router.layer(guard).with_state(self)
    }

    pub(crate) fn hosts(&self) -> &[String] {
        &self.inner.hosts
    }

    fn not_ready(&self) -> Option<String> {
        (self.inner.readiness)()
    }

    #[cfg(feature = "secrets")]
    pub(crate) fn secrets_handle(&self) -> Option<&ops_secrets::Secrets> {
        self.inner.secrets.as_ref()
    }

    #[cfg(feature = "cache")]
    pub(crate) fn cache_handle(&self) -> Option<&data_cache::Cache> {
        self.inner.cache.as_ref()
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("service", &self.inner.service)
            .finish_non_exhaustive()
    }
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    match admin.not_ready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn current_state(State(admin): State<Admin>) -> Json<Value> {
    let mut rooms = json!({
        "service": admin.service(),
        "uptime_seconds": admin.inner.started.elapsed().as_secs(),
        "not_ready": admin.not_ready(),
    });
    state::fill(&admin, &mut rooms);
    Json(rooms)
}

#[cfg(feature = "metrics")]
async fn metrics(request: axum::extract::Request) -> axum::response::Response {
    let (parts, _) = request.into_parts();
    ops_metrics::serve(&parts).await.map(axum::body::Body::from)
}
