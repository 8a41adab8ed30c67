//! The head of a request. It describes the span from the start if that is sampled; otherwise only once somebody may see it.

use std::time::SystemTime;

use ::http::header::HOST;
use ::http::{HeaderValue, Method, Uri, Version, request};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind};
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

    /// Returns the span as it begins. What describes it is written where it stays, not told to a span of the SDK one by one.
    pub(super) fn builder(&self, start: SystemTime) -> SpanBuilder {
        let mut builder = match &self.route {
            Some(route) => SpanBuilder::from_name(describe::named(&self.method, route)),
            None => SpanBuilder::from_name(UNNAMED),
        };
        let mut attributes = Vec::with_capacity(ATTRIBUTES);
        self.attributes(|attribute| attributes.push(attribute));
        builder.attributes = Some(attributes);
        builder.start_time = Some(start);
        builder.span_kind = Some(SpanKind::Server);
        builder.links = self.link.clone().map(|link| vec![Link::with_context(link)]);
        builder
    }

    fn attributes(&self, mut add: impl FnMut(KeyValue)) {
        describe::attributes(self, &mut add);
        if let Some(route) = &self.route {
            add(describe::http_route(route));
        }
    }
}
