//! Requests, errors and durations, observed through ops-http.

use std::hash::BuildHasher as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::FixedState;
use http::header::HOST;
use http::{request, response};
use ops_http::{Ending, Observe, Outcome, Route, known_method};

use crate::builtin::{
    http_client_request_latency_seconds, http_client_requests_total, http_request_latency,
    http_requests_in_flight, http_requests_total, http_response_failures_total,
    http_server_request_duration, http_stream_duration,
};
use crate::rpc;
use crate::series::exemplar::{self, TraceId};
use crate::series::label::{Label as _, LabelId};

/// Route of requests that no route matched.
const UNMATCHED: &str = "unmatched";

/// Method of requests whose method [`known_method`] does not know.
const OTHER_METHOD: &str = "_OTHER";

/// Host of a request without a host, such as one to a Unix socket.
const NO_HOST: &str = "other";

/// Maximum number of characters of the path in the warning about a request without a route.
const MAX_PATH_CHARS: usize = 64;

/// Observer that counts each request once, whatever its outcome, under the template of its route, or `unmatched`.
///
/// - `http_requests_total` has the status that was sent, 499 if the client went away
///   from a response without a 5xx, or 503 if the server abandoned the request before.
/// - `http_request_latency_seconds` has the time to the head of every response, so that long streams do not distort it;
///   a request without a response counts with its whole time.
/// - `http_stream_duration_seconds` has, additionally, the whole
///   time of responses whose head does not contain their length.
/// - `http_response_failures_total` counts requests that failed although their status is not a 5xx: responses that
///   failed after their head or were cut off, those with a status from 600 on, and gRPC calls that failed by
///   [`Outcome::is_server_error`]. Together with the 5xx statuses these are all failed requests, each counted once.
/// - Methods are those of [`known_method`]; any other method is `_OTHER`.
/// - `rpc_server_call_duration_seconds` has the gRPC calls (feature `grpc`) by method, status and, if the server caused
///   the error, `error_type`. They are HTTP requests too, except calls of the health service.
///
/// If [`set_exemplar_source`](crate::set_exemplar_source) was called, the trace of the request is the exemplar of its
/// durations: the observer of traces comes before this one.
///
/// A request that is served without a known route is counted as `unmatched`; the first one of the process is logged as
/// the warning `route_unknown`, with the solution.
#[derive(Clone, Copy, Debug, Default)]
pub struct RedMetrics {
    semantic_names: bool,
}

impl RedMetrics {
    /// Creates the observer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Observes each request a second time, for dashboards that follow OpenTelemetry's conventions:
    /// `http_server_request_duration_seconds` by `http_request_method`, `http_route` and `http_response_status_code`,
    /// with the time to the end of the body. Off by default.
    #[must_use]
    pub fn semantic_names(mut self, on: bool) -> Self {
        self.semantic_names = on;
        self
    }
}

/// State of a request that is being counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestScope {
    /// True from the first `enter` on: if another observer panics at the start, no end follows.
    is_in_flight: bool,
    /// True from the head of the response on.
    has_head: bool,
    /// The trace that was current while the request was served, if it is sampled.
    trace: Option<TraceId>,
}

impl Observe for RedMetrics {
    type Scope = RequestScope;
    type Entered<'a> = ();

    fn start(&self, _: &mut request::Parts) -> RequestScope {
        RequestScope::default()
    }

    fn enter(&self, scope: &mut RequestScope) {
        if !scope.is_in_flight {
            scope.is_in_flight = true;
            http_requests_in_flight().add(1.0);
        }
        // a span may become current only when the future is polled; at the end of the request it is no longer current
        if !scope.has_head {
            scope.trace = scope.trace.or_else(exemplar::current_trace);
        }
    }

    fn response(&self, scope: &mut RequestScope, _: &mut response::Parts) {
        scope.has_head = true;
    }

    fn end(&self, scope: RequestScope, outcome: &Outcome) {
        if scope.is_in_flight {
            http_requests_in_flight().add(-1.0);
        }
        if let Some(call) = &outcome.grpc {
            rpc::observe_served(call, outcome.elapsed, scope.trace);
            if rpc::is_probe(call) {
                return;
            }
        }
        let route = outcome.route.as_ref().map_or(UNMATCHED, Route::template);
        let method = known_method(&outcome.method).unwrap_or(OTHER_METHOD);
        // most requests are found by the ids of their labels
        let known = match outcome.route {
            Some(_) => stored_template(route),
            None => Some(UNMATCHED),
        };
        let ids = [known.map(LabelId::of_text), Some(LabelId::of_text(method))];
        http_requests_total::family()
            .counter_by([ids[0], ids[1], outcome.status.identity()], || {
                [route, method, outcome.status.text()]
            })
            .inc();
        let to_head = outcome.time_to_headers.unwrap_or(outcome.elapsed);
        http_request_latency::family()
            .histogram_by(ids, || [route, method])
            .observe_in(to_head.as_secs_f64(), scope.trace);
        if outcome.streamed {
            http_stream_duration::family()
                .histogram(&[route, method])
                .observe_in(outcome.elapsed.as_secs_f64(), scope.trace);
        }
        if self.semantic_names {
            http_server_request_duration::family()
                .histogram(&[method, route, outcome.status.text()])
                .observe_in(outcome.elapsed.as_secs_f64(), scope.trace);
        }
        if let Some(error_type) = failure_without_status(outcome) {
            http_response_failures_total::family()
                .counter(&[route, method, error_type])
                .inc();
        }
        if let Some(path) = outcome.served_without_route() {
            warn_of_unknown_route(path);
        }
    }
}

/// Templates of the first requests, each at the index of its hash:
/// a program has few, and they are found again by their address.
static TEMPLATES: [OnceLock<Box<str>>; 256] = [const { OnceLock::new() }; 256];

/// Returns the template as stored until the process ends; `None` if another template is at its index.
fn stored_template(template: &str) -> Option<&'static str> {
    let hash = FixedState::default().hash_one(template);
    let place = TEMPLATES.get((hash >> 56) as usize)?;
    let stored = place.get_or_init(|| template.into());
    (**stored == *template).then_some(stored)
}

/// Returns the cause of a failure that is not visible in the status; a 5xx status is already counted as a failure. A
/// status from 600 on is `other` in its label.
fn failure_without_status(outcome: &Outcome) -> Option<&'static str> {
    if !outcome.is_server_error() || (500..600).contains(&outcome.status) {
        return None;
    }
    match &outcome.grpc {
        Some(call) => call.error_type,
        None => outcome.error_type().or(Some("other")),
    }
}

/// Observer that counts each outgoing request, for `ops_http::ClientLayer`: rate, errors and latency of dependencies.
///
/// - `http_client_requests_total` has the status of the response, or else the kind of the error, such as
///   `connection_refused`, `timeout`, or `cancelled` for a request that was dropped before its response.
/// - `http_client_request_latency_seconds` has the time to the head of the response, or to the error.
/// - `rpc_client_call_duration_seconds` has the gRPC calls (feature `grpc`)
///   by method, status, error and server. They are HTTP requests too.
/// - `host` is the host of the URL, with its port if it has one: at most 200
///   hosts. Further hosts are `other`, and so is that of a request without a host.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientMetrics;

impl ClientMetrics {
    /// Creates the observer.
    pub fn new() -> Self {
        Self
    }
}

/// State of an outgoing request.
#[derive(Clone, Debug, Default)]
pub struct ClientScope {
    host: String,
    /// Default port of the scheme; empty without a scheme.
    default_port: &'static str,
    trace: Option<TraceId>,
}

impl Observe for ClientMetrics {
    type Scope = ClientScope;
    type Entered<'a> = ();

    fn start(&self, request: &mut request::Parts) -> ClientScope {
        let host = match request.uri.authority() {
            Some(authority) => authority.as_str(),
            None => {
                let host = request.headers.get(HOST);
                host.and_then(|host| host.to_str().ok()).unwrap_or_default()
            }
        };
        let host = host.rsplit('@').next().unwrap_or_default();
        let host = host.strip_suffix(':').unwrap_or(host);
        ClientScope {
            host: host.to_ascii_lowercase(),
            default_port: match request.uri.scheme_str() {
                Some("https") => "443",
                Some("http") => "80",
                _ => "",
            },
            trace: None,
        }
    }

    fn enter(&self, scope: &mut ClientScope) {
        scope.trace = scope.trace.or_else(exemplar::current_trace);
    }

    fn response(&self, _: &mut ClientScope, _: &mut response::Parts) {}

    fn end(&self, scope: ClientScope, outcome: &Outcome) {
        if let Some(call) = &outcome.grpc {
            let server = address_and_port(&scope.host, scope.default_port);
            rpc::observe_sent(call, server, outcome.elapsed, scope.trace);
        }
        let method = known_method(&outcome.method).unwrap_or(OTHER_METHOD);
        // an empty label would be refused, and counted as an overflow
        let host = match scope.host.as_str() {
            "" => NO_HOST,
            host => host,
        };
        let requests = http_client_requests_total::family();
        let failed = match outcome.ending {
            Ending::Aborted => "cancelled",
            _ => outcome.error_type().unwrap_or(OTHER_METHOD),
        };
        match outcome.sent_status {
            Some(status) => requests.counter(&[host, method, status.text()]).inc(),
            None => requests.counter(&[host, method, failed]).inc(),
        }
        let to_head = outcome.time_to_headers.unwrap_or(outcome.elapsed);
        http_client_request_latency_seconds::family()
            .histogram(&[host, method])
            .observe_in(to_head.as_secs_f64(), scope.trace);
    }
}

/// Returns host and port of an authority; without a port, the default port.
fn address_and_port<'a>(host: &'a str, default_port: &'a str) -> (&'a str, &'a str) {
    match host.rsplit_once(':') {
        Some((address, port)) if !port.ends_with(']') => (address, port),
        _ => (host, default_port),
    }
}

/// Logs the first request of the process that is served without a route.
fn warn_of_unknown_route(path: &str) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if WARNED.load(Ordering::Relaxed) || WARNED.swap(true, Ordering::Relaxed) {
        return;
    }
    let path: String = path.chars().take(MAX_PATH_CHARS).collect();
    tracing::warn!(
        target: "ops_metrics",
        path,
        route = UNMATCHED,
        cure = "add the layer with Router::layer, and wrap services mounted by nest_service or fallback_service: \
                ops_http::route(\"/static/{*rest}\").layer(service)",
        "route_unknown"
    );
}
