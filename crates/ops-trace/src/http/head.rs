//! The head of a request. It describes the span from the start if that is sampled; otherwise only once somebody may see it.

use std::time::SystemTime;

use ::http::header::HOST;
use ::http::{HeaderValue, Method, Uri, Version, request};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, SpanKind};
use opentelemetry_sdk::trace::Span;
use ops_http::Route;

use super::describe::{self, UNNAMED};
use super::forwarded::Forwarded;

/// Attributes that a request has, as a rule, once it ended.
const ATTRIBUTES: usize = 10;

/// The parts of a request that its span is described by when it starts.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    /// `Host`, if the target names none.
    pub(super) host: Option<HeaderValue>,
    pub(super) forwarded: Forwarded,
    pub(super) route: Option<Route>,
    link: Option<SpanContext>,
}

/// The span before it is described.
pub(super) fn builder(start: SystemTime) -> SpanBuilder {
    let mut builder = SpanBuilder::from_name(UNNAMED);
    builder.start_time = Some(start);
    builder.span_kind = Some(SpanKind::Server);
    builder.attributes = Some(Vec::with_capacity(ATTRIBUTES));
    builder
}

impl Head {
    pub(super) fn new(
        request: &request::Parts,
        route: Option<Route>,
        link: Option<SpanContext>,
        forwarded: Forwarded,
    ) -> Self {
        let host = request.headers.get(HOST);
        Self {
            method: request.method.clone(),
            uri: request.uri.clone(),
            version: request.version,
            host: host.filter(|_| request.uri.authority().is_none()).cloned(),
            forwarded,
            route,
            link,
        }
    }

    /// Describes a span to which nothing else was told yet.
    pub(super) fn describe(&self, span: &mut Span) {
        if let Some(route) = &self.route {
            span.update_name(describe::named(&self.method, route));
        }
        self.attributes(|attribute| span.set_attribute(attribute));
        if let Some(link) = &self.link {
            span.add_link(link.clone(), Vec::new());
        }
    }

    fn attributes(&self, mut add: impl FnMut(KeyValue)) {
        describe::attributes(self, &mut add);
        if let Some(route) = &self.route {
            add(describe::http_route(route));
        }
    }
}
