use opentelemetry::trace::{Link, SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::SpanIds;

/// Role of a span in its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// Work inside of the process.
    #[default]
    Internal,
    /// A request that is served.
    Server,
    /// A request that is sent.
    Client,
    /// A message that is sent.
    Producer,
    /// A message that is handled.
    Consumer,
}

impl SpanKind {
    pub(crate) fn into_otel(self) -> opentelemetry::trace::SpanKind {
        use opentelemetry::trace::SpanKind as Otel;
        match self {
            Self::Internal => Otel::Internal,
            Self::Server => Otel::Server,
            Self::Client => Otel::Client,
            Self::Producer => Otel::Producer,
            Self::Consumer => Otel::Consumer,
        }
    }
}

/// Properties that a span has from its start, collected by [`span!`](crate::span!).
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct SpanOptions {
    pub(crate) kind: SpanKind,
    pub(crate) links: Vec<SpanIds>,
}

impl SpanOptions {
    #[must_use]
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.kind = kind;
        self
    }

    #[must_use]
    pub fn links(mut self, links: impl IntoIterator<Item = SpanIds>) -> Self {
        self.links.extend(links);
        self
    }
}

pub(crate) fn linked(to: SpanIds) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(to.trace_id),
        SpanId::from_bytes(to.span_id),
        TraceFlags::default(),
        true,
        TraceState::default(),
    )
}

pub(crate) fn links(to: Vec<SpanIds>) -> Option<Vec<Link>> {
    let links = to.into_iter().map(linked).filter(SpanContext::is_valid);
    let links: Vec<Link> = links.map(Link::with_context).collect();
    (!links.is_empty()).then_some(links)
}
