//! Spans for the requests that are served: an observer for `ops_http::ObserveLayer`.

use std::net::IpAddr;
use std::sync::Arc;

use ::http::{Extensions, HeaderValue, Method, request, response};
use opentelemetry::trace::{SpanBuilder, SpanContext, SpanKind, TraceContextExt, Tracer as _};
use opentelemetry::{Context, ContextGuard};
use ops_http::{Ending, Observe, Outcome, Route};

use crate::Value;
use crate::propagation::{extract, header};
use crate::span::{fail, key_value};
use crate::tracer::installed;

/// Whose `traceparent` becomes the parent; anybody else's becomes a link of a new trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Loopback and private addresses. A peer whose address is not known is not trusted.
    #[default]
    PrivatePeers,
    /// Everybody's: only behind a proxy that removes the header.
    Everybody,
    /// Nobody's.
    Nobody,
}

type PeerOf = fn(&Extensions) -> Option<IpAddr>;

/// One server span for each request, named `{method} {route}`, from its arrival to the end of its body.
#[derive(Clone)]
pub struct ServerSpans {
    trust: Trust,
    peer: PeerOf,
    quiet: Arc<[String]>,
}

impl Default for ServerSpans {
    fn default() -> Self {
        Self {
            trust: Trust::default(),
            peer: |_| None,
            quiet: ["/metrics", "/healthz", "/readyz"]
                .map(str::to_owned)
                .into(),
        }
    }
}

impl ServerSpans {
    /// Trusts private peers; `/metrics`, `/healthz` and `/readyz` are quiet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose trace context is taken as the parent.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// How the peer's address is found in a request, such as axum's `ConnectInfo`.
    #[must_use]
    pub fn peer(mut self, peer: PeerOf) -> Self {
        self.peer = peer;
        self
    }

    /// Paths without a span, instead of the default ones.
    #[must_use]
    pub fn quiet(mut self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.quiet = paths.into_iter().map(Into::into).collect();
        self
    }

    fn trusts(&self, request: &request::Parts) -> bool {
        match self.trust {
            Trust::Everybody => true,
            Trust::Nobody => false,
            Trust::PrivatePeers => (self.peer)(&request.extensions).is_some_and(is_private),
        }
    }
}

impl Observe for ServerSpans {
    type Scope = Option<Context>;
    type Entered<'a> = Option<ContextGuard>;

    fn start(&self, request: &mut request::Parts) -> Self::Scope {
        let installed = installed()?;
        let remote = extract(&request.headers);
        let (parent, link) = if self.trusts(request) {
            (remote, None)
        } else {
            (None, remote)
        };
        let base = parent.map_or_else(Context::new, |p| Context::new().with_remote_span_context(p));
        if self.quiet.iter().any(|path| path == request.uri.path()) {
            return Some(base);
        }
        let builder = describe(request, link);
        let span = installed.tracer.build_with_context(builder, &base);
        Some(base.with_span(span))
    }

    fn enter<'a>(&'a self, scope: &'a mut Self::Scope) -> Self::Entered<'a> {
        scope.clone().map(Context::attach)
    }

    fn response(&self, scope: &mut Self::Scope, response: &mut response::Parts) {
        let Some(context) = scope else { return };
        let span = context.span();
        let ids = span.span_context();
        if ids.is_valid()
            && !ids.is_remote()
            && let Ok(value) = HeaderValue::from_str(&header(ids))
        {
            response.headers.insert("traceresponse", value);
        }
    }

    fn end(&self, scope: Self::Scope, outcome: &Outcome) {
        let Some(context) = scope else { return };
        let span = context.span();
        if span.span_context().is_remote() {
            return;
        }
        if let Some(route) = &outcome.route {
            let route = route.template();
            span.update_name(format!("{} {route}", method_name(&outcome.method)));
            span.set_attribute(key_value("http.route".into(), route.into()));
        }
        let status = outcome.status;
        if outcome.ending != Ending::Aborted {
            let key = "http.response.status_code".into();
            span.set_attribute(key_value(key, status.into()));
        }
        if outcome.streamed {
            let key = "http.response.streaming".into();
            span.set_attribute(key_value(key, true.into()));
        }
        match outcome.ending {
            Ending::Panicked => fail(&context, "panic".into()),
            Ending::Aborted => fail(&context, "client_disconnect".into()),
            Ending::Failed => fail(&context, "service_error".into()),
            _ if status >= 500 => fail(&context, status.to_string().into()),
            _ => {}
        }
        span.end();
    }
}

fn describe(request: &request::Parts, link: Option<SpanContext>) -> SpanBuilder {
    let method = method_name(&request.method);
    let name = match Route::get(&request.extensions) {
        Some(route) => format!("{method} {}", route.template()),
        None => method.to_owned(),
    };
    let known = method != "HTTP";
    let reported = if known { method } else { "_OTHER" };
    let mut attributes = vec![
        key_value("http.request.method".into(), reported.into()),
        key_value("url.path".into(), request.uri.path().into()),
        key_value(
            "url.scheme".into(),
            request.uri.scheme_str().unwrap_or("http").into(),
        ),
    ];
    if !known {
        let original: String = request.method.as_str().chars().take(32).collect();
        attributes.push(key_value(
            "http.request.method_original".into(),
            original.into(),
        ));
    }
    if let Some(query) = request.uri.query() {
        attributes.push(key_value("url.query".into(), Value::from(redacted(query))));
    }
    let mut builder = SpanBuilder::from_name(name)
        .with_kind(SpanKind::Server)
        .with_attributes(attributes);
    if let Some(link) = link {
        builder.links = Some(vec![opentelemetry::trace::Link::with_context(link)]);
    }
    builder
}

/// The method as a span may be called after it: any other than the standard ones is `HTTP`.
fn method_name(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE"
        | "PATCH") => known,
        _ => "HTTP",
    }
}

const SECRET_KEYS: [&str; 11] = [
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-goog-signature",
    "token",
    "access_token",
    "api_key",
    "apikey",
    "key",
    "password",
    "secret",
];

fn redacted(query: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if SECRET_KEYS.iter().any(|s| key.eq_ignore_ascii_case(s)) => {
            format!("{key}=REDACTED")
        }
        _ => pair.to_owned(),
    };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
