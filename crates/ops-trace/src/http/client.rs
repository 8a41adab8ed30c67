//! Spans of outgoing requests: an observer for `ops_http::ClientLayer`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::SystemTime;

use ::http::header::HOST;
use ::http::{Extensions, Uri, request, response};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, TraceContextExt, Tracer as _};
use opentelemetry::{Context, ContextGuard, KeyValue};
use ops_http::{Ending, Observe, Outcome, Route, known_method};

use super::describe::{host_and_port, method, scheme, version};
use super::query::{redacted, redacted_path};
use crate::limits::{MAX_TEXT_BYTES, cut};
use crate::propagation::with_span;
use crate::span::fail;
use crate::{Handle, global};

/// Observer that creates one CLIENT span for each outgoing request, from its start to the end of the response body, and
/// adds the trace context to requests to the hosts of [`Config::propagate_to`](crate::Config::propagate_to).
///
/// ```
/// # use tower::{Layer as _, service_fn};
/// use ops_http::ClientLayer;
/// use ops_trace::http::ClientSpans;
///
/// # let client = service_fn(|_: http::Request<String>| async { Ok::<_, std::io::Error>(http::Response::new(String::new())) });
/// let client = ClientLayer::new(ClientSpans::new()).layer(client);
/// # drop(client);
/// ```
///
/// Names and attributes are those of OpenTelemetry's stable conventions for HTTP clients:
///
/// - The name is the method, followed by the template of the URL if the request has an [`ops_http::Route`] extension.
/// - `url.full` contains no credentials: user name and password, and
///   the values of credential keys in query and path, are `REDACTED`.
/// - `error.type` is the status from 400 on, `connection_refused`, `timeout`, `host_not_found` and other errors of the
///   operating system, the name of the client's error type, `body_error` for a response that breaks off, `cancelled`
///   for a request that is dropped before its response came. A response whose body is dropped unread is not an error.
/// - A gRPC call (feature `grpc`) is named after its method, and fails with any status except `OK`.
/// - `http.request.resend_count` is set for requests with a [`ResendCount`].
#[derive(Clone, Debug, Default)]
pub struct ClientSpans {
    handle: Option<Handle>,
}

impl ClientSpans {
    /// Creates an observer that uses the handle of [`init`](crate::init).
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses this handle instead of the global one.
    #[must_use]
    pub fn handle(mut self, handle: Handle) -> Self {
        self.handle = Some(handle);
        self
    }
}

/// Counter of the attempts to send one request: an extension of the request,
/// added before the request reaches the retries, whose copies share it.
#[derive(Clone, Debug, Default)]
pub struct ResendCount(Arc<AtomicU32>);

impl ResendCount {
    /// Returns a counter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an attempt, and returns the number of earlier ones.
    fn next(extensions: &Extensions) -> u32 {
        extensions
            .get::<Self>()
            .map_or(0, |count| count.0.fetch_add(1, Relaxed))
    }
}

/// State of one outgoing request: the context with its span.
#[derive(Debug)]
pub struct ClientScope {
    context: Context,
    /// True if the span in the context belongs to this request.
    is_own: bool,
    start: SystemTime,
}

impl Observe for ClientSpans {
    type Scope = Option<ClientScope>;
    type Entered<'a> = Option<ContextGuard>;

    fn start(&self, request: &mut request::Parts) -> Self::Scope {
        let handle = match &self.handle {
            Some(handle) => handle,
            None => global()?,
        };
        let scope = started(handle, request);
        let own = host(request).map(|(host, _)| handle.passes_context_to(host));
        if own == Some(true) {
            handle.inject(&scope.context, &mut request.headers);
        }
        Some(scope)
    }

    fn enter<'a>(&'a self, scope: &'a mut Self::Scope) -> Self::Entered<'a> {
        scope.as_ref().map(|scope| scope.context.clone().attach())
    }

    fn response(&self, scope: &mut Self::Scope, response: &mut response::Parts) {
        let Some(context) = scope.as_ref().and_then(ClientScope::own) else {
            return;
        };
        if let Some(version) = version(response.version) {
            let version = KeyValue::new("network.protocol.version", version);
            context.span().set_attribute(version);
        }
    }

    fn end(&self, scope: Self::Scope, outcome: &Outcome) {
        let Some(scope) = scope.filter(|scope| scope.is_own) else {
            return;
        };
        let (context, end) = (&scope.context, super::end(scope.start, outcome));
        let span = context.span();
        if let Some(call) = &outcome.grpc {
            super::grpc::ended(context, call, outcome);
            return span.end_with_timestamp(end);
        }
        if let Some(status) = outcome.sent_status {
            let status = KeyValue::new("http.response.status_code", i64::from(status));
            span.set_attribute(status);
        }
        match (outcome.ending, outcome.sent_status) {
            (Ending::Aborted, None) => fail(context, "cancelled".into()),
            (Ending::Failed | Ending::Panicked, _) => {
                let kind = outcome.error_type().unwrap_or("_OTHER");
                fail(context, kind.into());
            }
            (_, Some(status)) if status >= 400 => fail(context, status.to_string().into()),
            _ => {}
        }
        span.end_with_timestamp(end);
    }
}

impl ClientScope {
    /// Returns the context if its span belongs to this request; any other span continues after the request.
    fn own(&self) -> Option<&Context> {
        self.is_own.then_some(&self.context)
    }
}

/// Returns the context with the span of the request, or the current context if no spans are made.
fn started(handle: &Handle, request: &request::Parts) -> ClientScope {
    let start = SystemTime::now();
    let resends = ResendCount::next(&request.extensions);
    let Some(tracer) = handle.tracer() else {
        return ClientScope {
            context: Context::current(),
            is_own: false,
            start,
        };
    };
    let builder = SpanBuilder::from_name(name(request)).with_kind(SpanKind::Client);
    let builder = builder.with_start_time(start);
    let mut span = Context::map_current(|parent| tracer.build_with_context(builder, parent));
    if span.is_recording() {
        span.set_attributes(attributes(request, resends));
    }
    // invalid for requests of the telemetry itself
    let is_own = span.span_context().is_valid();
    ClientScope {
        context: Context::map_current(|parent| match is_own {
            true => with_span(parent, span),
            false => parent.clone(),
        }),
        is_own,
        start,
    }
}

fn name(request: &request::Parts) -> String {
    if let Some(method) = ops_http::grpc_method(request) {
        return method.to_owned();
    }
    let method = known_method(&request.method).unwrap_or("HTTP");
    match Route::get(&request.extensions) {
        Some(route) => format!("{method} {}", route.template()),
        None => method.to_owned(),
    }
}

fn attributes(request: &request::Parts, resends: u32) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(8);
    let call = ops_http::grpc_method(request);
    match call {
        Some(called) => attributes.extend(super::grpc::sent(called)),
        None => method(&request.method, &mut |attribute| attributes.push(attribute)),
    }
    if let Some((host, port)) = host(request) {
        attributes.push(KeyValue::new("server.address", host.to_owned()));
        let default = match request.uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let port = i64::from(port.unwrap_or(default));
        attributes.push(KeyValue::new("server.port", port));
    }
    if call.is_some() {
        return attributes;
    }
    attributes.push(KeyValue::new("url.full", full(request)));
    if let Some(route) = Route::get(&request.extensions) {
        attributes.push(KeyValue::new("url.template", route.shared()));
    }
    if resends > 0 {
        let resends = KeyValue::new("http.request.resend_count", i64::from(resends));
        attributes.push(resends);
    }
    attributes
}

/// Returns the host and the port of the request: from its URL, or else from the header `Host`.
fn host(request: &request::Parts) -> Option<(&str, Option<u16>)> {
    match request.uri.host() {
        Some(host) => Some((host, request.uri.port_u16())),
        None => host_and_port(request.headers.get(HOST)?.to_str().ok()?),
    }
}

fn full(request: &request::Parts) -> String {
    let uri: &Uri = &request.uri;
    let mut text = String::new();
    let own = request
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let authority = uri.authority().map(|authority| authority.as_str());
    if let Some(authority) = authority.or(own) {
        text.push_str(scheme(uri));
        text.push_str("://");
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                text.push_str("REDACTED:REDACTED@");
                text.push_str(host);
            }
            None => text.push_str(authority),
        }
    }
    text.push_str(&redacted_path(uri.path()));
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(&redacted(query));
    }
    cut(text, MAX_TEXT_BYTES)
}
