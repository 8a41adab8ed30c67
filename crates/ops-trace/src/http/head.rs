//! Head of a request, from which its span is created when it is needed.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::SystemTime;

use ::http::header::{HOST, USER_AGENT};
use ::http::{HeaderValue, Method, Uri, Version, request};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind};
use ops_http::Route;

use super::describe::{self, Server, UNNAMED};
use super::forwarded::Forwarded;

/// Usual number of attributes of a request that has ended.
const ATTRIBUTES: usize = 10;

/// Parts of a request that describe its span from the start.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    /// `Host`, if the target contains no host.
    pub(super) host: Option<HeaderValue>,
    pub(super) forwarded: Forwarded,
    /// Route that the router matched before the span began.
    pub(super) route: Option<Route>,
    pub(super) link: Option<SpanContext>,
    /// Recorded only if configured.
    pub(super) client: Option<Client>,
}

/// Client that sent the request.
pub(super) struct Client {
    pub(super) address: Option<IpAddr>,
    pub(super) agent: Option<HeaderValue>,
}

impl Client {
    pub(super) fn new(request: &request::Parts, address: Option<IpAddr>) -> Self {
        let agent = request.headers.get(USER_AGENT).cloned();
        Self { address, agent }
    }
}

impl Head {
    pub(super) fn new(
        request: &request::Parts,
        route: Option<Route>,
        link: Option<SpanContext>,
        forwarded: Forwarded,
        client: Option<Client>,
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
            client,
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        let scheme = self.forwarded.scheme;
        scheme.unwrap_or_else(|| describe::scheme(&self.uri))
    }

    pub(super) fn server(&self) -> Option<Server> {
        describe::server_of(&self.forwarded, &self.uri, self.host.as_ref())
    }

    /// Returns the builder of the span at its start. Attributes are
    /// written into it at once, not set on an SDK span one by one.
    pub(super) fn builder(&self, start: SystemTime) -> SpanBuilder {
        let mut builder = SpanBuilder::from_name(self.name(self.route.as_ref()));
        builder.attributes = Some(self.attributes());
        builder.start_time = Some(start);
        builder.span_kind = Some(SpanKind::Server);
        builder.links = self.links();
        builder
    }

    pub(super) fn name(&self, route: Option<&Route>) -> Cow<'static, str> {
        match route {
            Some(route) => describe::named(&self.method, route).into(),
            None => UNNAMED.into(),
        }
    }

    /// Returns the attributes of the request, with room for those of its end.
    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(ATTRIBUTES);
        let mut add = |attribute| attributes.push(attribute);
        describe::attributes(self, &mut add);
        if let Some(route) = &self.route {
            add(describe::http_route(route));
        }
        if let Some(client) = &self.client {
            describe::client(client, &mut add);
        }
        attributes
    }

    /// Returns the link to the trace of the request's headers, if the request does not continue that trace.
    pub(super) fn links(&self) -> Option<Vec<Link>> {
        let link = self.link.clone()?;
        Some(vec![Link::with_context(link)])
    }
}
