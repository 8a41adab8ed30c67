//! The head of a request. It describes the span from the start if that is sampled; otherwise only once the span failed or
//! was slow, so that somebody will see it.

use std::cell::RefCell;
use std::fmt;

use ::http::header::HOST;
use ::http::{HeaderValue, Method, Uri, Version, request};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanContext, SpanKind};
use opentelemetry_sdk::trace::{Span, SpanData};
use ops_http::Route;

use super::describe::{self, UNNAMED};
use super::forwarded::Forwarded;
use crate::export::queue_limiter::ended_with;

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
    route: Option<Route>,
    link: Option<SpanContext>,
}

/// The span before it is known if anybody will see it.
pub(super) fn builder() -> SpanBuilder {
    let mut builder = SpanBuilder::from_name(UNNAMED);
    builder.span_kind = Some(SpanKind::Server);
    builder.attributes = Some(Vec::with_capacity(ATTRIBUTES));
    builder
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // a query may hold secrets
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .finish_non_exhaustive()
    }
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

    /// Describes a span that starts.
    pub(super) fn describe(self, span: &mut Span) {
        if let Some(route) = &self.route {
            span.update_name(describe::named(&self.method, route));
        }
        self.attributes(|attribute| span.set_attribute(attribute));
        if let Some(link) = self.link {
            span.add_link(link, Vec::new());
        }
    }

    /// Ends a span that was not described, and describes it if it is shown.
    pub(super) fn end(self, end: impl FnOnce()) {
        set_ending(Some(self));
        ended_with(describe_ending, end);
        set_ending(None);
    }

    fn attributes(&self, mut add: impl FnMut(KeyValue)) {
        describe::attributes(self, &mut add);
        if let Some(route) = &self.route {
            add(describe::http_route(route));
        }
    }

    /// Describes a span that ended: as if it had been done first.
    fn describe_data(self, data: &mut SpanData) {
        // whoever named it since knew better
        if let Some(route) = self.route.as_ref().filter(|_| data.name == UNNAMED) {
            data.name = describe::named(&self.method, route).into();
        }
        let mut attributes = Vec::with_capacity(ATTRIBUTES + data.attributes.len());
        self.attributes(|attribute| attributes.push(attribute));
        attributes.append(&mut data.attributes);
        data.attributes = attributes;
        if let Some(link) = self.link {
            data.links.links.insert(0, Link::with_context(link));
        }
    }
}

thread_local! {
    /// The head of the request whose span ends on this thread right now.
    static ENDING: RefCell<Option<Head>> = const { RefCell::new(None) };
}

/// A head is a large value: in its place it is moved least often.
#[inline]
fn set_ending(head: Option<Head>) {
    let _ = ENDING.try_with(|ending| {
        if let Ok(mut ending) = ending.try_borrow_mut() {
            *ending = head;
        }
    });
}

fn describe_ending(data: &mut SpanData) {
    if let Ok(Some(head)) = ENDING.try_with(RefCell::take) {
        head.describe_data(data);
    }
}
