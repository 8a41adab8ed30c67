use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router, middleware};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::token::Token;
use crate::{Check, Finding, guard, page, state, token};

/// The admin page of one service.
#[derive(Clone)]
pub struct Admin {
    inner: Arc<Inner>,
}

type Asked = Pin<Box<dyn Future<Output = Option<String>> + Send>>;
type Readiness = Arc<dyn Fn() -> Asked + Send + Sync>;
type Latest = Arc<dyn Fn() -> (Option<String>, Vec<Check>) + Send + Sync>;
type Findings = Arc<dyn Fn() -> Vec<Finding> + Send + Sync>;

#[derive(Clone)]
struct Inner {
    service: String,
    started: Instant,
    readiness: Readiness,
    latest: Option<Latest>,
    findings: Option<Findings>,
    hosts: Vec<String>,
    token: Option<Arc<Token>>,
    #[cfg(feature = "secrets")]
    secrets: Option<ops_secrets::Secrets>,
    #[cfg(feature = "cache")]
    cache: Option<data_cache::Cache>,
}

impl Admin {
    /// Creates a page for the service of this name, which is ready from the start.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                service: service.into(),
                started: Instant::now(),
                readiness: Arc::new(|| Box::pin(std::future::ready(None))),
                latest: None,
                findings: None,
                hosts: Vec::new(),
                token: None,
                #[cfg(feature = "secrets")]
                secrets: None,
                #[cfg(feature = "cache")]
                cache: None,
            }),
        }
    }

    /// Sets the question that `/readyz` asks: the reason why the service is not ready, or `None`.
    #[must_use]
    pub fn readiness<F>(mut self, readiness: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        Arc::make_mut(&mut self.inner).readiness = Arc::new(move || Box::pin(readiness()));
        self
    }

    /// Sets what the page shows of readiness: the reason why the service is not ready, and each check. It is called for
    /// each `/api/state` and returns what is known without waiting. Unless set, the page asks as `/readyz` does.
    #[must_use]
    pub fn checks(
        mut self,
        latest: impl Fn() -> (Option<String>, Vec<Check>) + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.inner).latest = Some(Arc::new(latest));
        self
    }

    /// Sets the findings that the page shows, causes first. It is called at most once a second, and returns what is known
    /// without waiting.
    #[must_use]
    pub fn findings(mut self, findings: impl Fn() -> Vec<Finding> + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.inner).findings = Some(Arc::new(findings));
        self
    }

    /// Requires this token for every route but `/healthz`: as `Authorization: Bearer <token>`, or as the password of the user
    /// `ops`, which a browser asks for. Whoever has it may use any host name.
    ///
    /// After five wrong tokens within a minute an address is refused with 429 for 60 s. Loopback addresses never are,
    /// since behind a port-forward every operator has the same one.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).token = Some(Arc::new(Token::new(&token.into())));
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
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/api/state", get(current_state));
        #[cfg(feature = "log")]
        let router = router.route("/api/level", axum::routing::post(crate::level::change));
        #[cfg(feature = "metrics")]
        let router = router.route("/metrics", get(metrics));
        let router = router.layer(middleware::from_fn(guard::check_change));
        let router = match self.inner.token.clone() {
            None => router,
            Some(token) => router.layer(middleware::from_fn_with_state(token, token::check)),
        };
        let host = middleware::from_fn_with_state(self.clone(), guard::check_host);
        router
            .route("/healthz", get(|| async { "ok\n" }))
            .layer(host)
            .layer(middleware::map_response(unkept))
            .with_state(self)
    }

    pub(crate) fn has_token(&self) -> bool {
        self.inner.token.is_some()
    }

    pub(crate) fn hosts(&self) -> &[String] {
        &self.inner.hosts
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

async fn readyz(State(admin): State<Admin>, uri: http::Uri) -> (StatusCode, String) {
    let not_ready = (admin.inner.readiness)().await;
    let (status, mut text) = match not_ready {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    if is_verbose(&uri) {
        text += &verbose(&admin);
    }
    (status, text)
}

/// Reports whether the query has `verbose`, with or without a value.
fn is_verbose(uri: &http::Uri) -> bool {
    let mut parts = uri.query().unwrap_or_default().split('&');
    parts.any(|part| part.split('=').next() == Some("verbose"))
}

/// One line for each check, then one for each finding, causes first.
fn verbose(admin: &Admin) -> String {
    use std::fmt::Write;
    let checks = admin.inner.latest.as_ref().map(|latest| latest().1);
    let findings = admin.inner.findings.as_ref().map(|findings| findings());
    let mut text = String::new();
    for check in checks.unwrap_or_default() {
        let reason = check
            .reason
            .map_or_else(String::new, |reason| format!(": {reason}"));
        // a text takes everything
        let _ = writeln!(text, "check {}: {}{reason}", check.name, check.state);
    }
    for finding in findings.unwrap_or_default() {
        let because = finding
            .explained_by
            .map_or_else(String::new, |id| format!(", explained by {id}"));
        let severity = finding.severity.as_str();
        let _ = writeln!(
            text,
            "finding {} ({severity}{because}): {}",
            finding.id, finding.seen
        );
    }
    text
}

async fn current_state(State(admin): State<Admin>) -> Json<Value> {
    let (not_ready, checks) = match &admin.inner.latest {
        Some(latest) => latest(),
        None => ((admin.inner.readiness)().await, Vec::new()),
    };
    let mut rooms = json!({
        "service": admin.service(),
        "uptime_seconds": admin.inner.started.elapsed().as_secs(),
        "not_ready": not_ready,
    });
    if !checks.is_empty() {
        rooms["checks"] = json!(checks);
    }
    if let Some(findings) = &admin.inner.findings {
        rooms["findings"] = json!(findings());
    }
    state::fill(&admin, &mut rooms);
    Json(rooms)
}

/// Answers are of this moment, and are what their type says.
async fn unkept(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(feature = "metrics")]
async fn metrics(request: axum::extract::Request) -> Response {
    let (parts, _) = request.into_parts();
    ops_metrics::serve(&parts).await.map(axum::body::Body::from)
}
