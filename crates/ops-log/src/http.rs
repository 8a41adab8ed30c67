//! Request ids and access lines, as an observer of ops-http.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, request, response};
use ops_http::{Observe, Outcome, Route};

use crate::context::{Fields, Scope, current};
use crate::{Level, Logger, Value, bind_context};

/// The header that carries a request's id in and out.
pub const REQUEST_ID: &str = "x-request-id";

/// The header that names the client.
pub const CLIENT: &str = "x-client";

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Binds `request_id` and `client`, and writes `request_completed` when a request is over.
#[derive(Clone, Debug, Default)]
pub struct AccessLog {
    route_field: bool,
    quiet: Vec<String>,
}

impl AccessLog {
    /// Lines with method, path, status and latency_ms.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the route's template after the path, where one matched.
    #[must_use]
    pub fn route_field(mut self, route_field: bool) -> Self {
        self.route_field = route_field;
        self
    }

    /// No line for these paths unless they fail with 500: a probe that is told 503 did its job.
    #[must_use]
    pub fn quiet(mut self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.quiet.extend(paths.into_iter().map(Into::into));
        self
    }
}

/// What is kept for one request.
#[derive(Debug)]
pub struct RequestScope {
    fields: Fields,
    id: Option<HeaderValue>,
    traced: bool,
    path: String,
}

impl Observe for AccessLog {
    type Scope = RequestScope;
    type Entered<'a> = Scope<'a>;

    fn start(&self, request: &mut request::Parts) -> RequestScope {
        let id = header(request, REQUEST_ID, 64).map_or_else(new_id, str::to_owned);
        let mut fields = current();
        {
            let _scope = Scope::enter(&mut fields);
            bind_context("request_id", id.as_str());
            if let Some(client) = header(request, CLIENT, 64) {
                bind_context("client", client);
            }
        }
        RequestScope {
            fields,
            id: HeaderValue::from_str(&id).ok(),
            traced: false,
            path: request.uri.path().to_owned(),
        }
    }

    fn enter<'a>(&'a self, scope: &'a mut RequestScope) -> Scope<'a> {
        // the span of an observer before this one is current here, and over when the access line is written
        if !std::mem::replace(&mut scope.traced, true)
            && let Some(id) = crate::trace_ids::current()
        {
            let _scope = Scope::enter(&mut scope.fields);
            bind_context("trace_id", id);
        }
        Scope::enter(&mut scope.fields)
    }

    fn response(&self, scope: &mut RequestScope, response: &mut response::Parts) {
        if let Some(id) = scope.id.take() {
            response.headers.insert(REQUEST_ID, id);
        }
    }

    fn end(&self, mut scope: RequestScope, outcome: &Outcome) {
        if outcome.status != 500 && self.quiet.contains(&scope.path) {
            return;
        }
        let latency = u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX);
        let mut fields = vec![
            ("method", Value::from(outcome.method.as_str())),
            ("path", scope.path.as_str().into()),
        ];
        if let Some(route) = outcome
            .route
            .as_ref()
            .map(Route::template)
            .filter(|_| self.route_field)
        {
            fields.push(("route", route.into()));
        }
        fields.extend([
            ("status", outcome.status.into()),
            ("latency_ms", latency.into()),
        ]);
        let level = if outcome.status >= 500 {
            Level::Error
        } else {
            Level::Info
        };
        let _scope = Scope::enter(&mut scope.fields);
        Logger::root().log(level, "request_completed", &fields);
    }
}

/// A header of plain letters, digits, `-`, `_` and `.`.
fn header<'a>(request: &'a request::Parts, name: &str, longest: usize) -> Option<&'a str> {
    let text = request.headers.get(name)?.to_str().ok()?;
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (plain && (1..=longest).contains(&text.len())).then_some(text)
}

/// Unique in this process, and across processes as far as their starts differ.
fn new_id() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!(
        "req-{:x}-{:x}{number:x}",
        now.as_micros(),
        std::process::id()
    )
}
