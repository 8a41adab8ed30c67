use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanBuilder, Status, Tracer as _};
use opentelemetry::{Context, KeyValue};

use crate::limits::ERROR_TYPE;
use crate::options::links;
use crate::span::{key_value, name_of};
use crate::value::Value;
use crate::{Handle, SpanIds, SpanKind};

/// Builder of a span that has already ended, from [`completed_span`](crate::completed_span).
#[must_use = "nothing is recorded until `record` is called"]
#[derive(Debug)]
pub struct CompletedSpan {
    handle: Option<Handle>,
    name: Cow<'static, str>,
    start: SystemTime,
    duration: Duration,
    kind: SpanKind,
    links: Vec<SpanIds>,
    attributes: Vec<KeyValue>,
    error: Option<Cow<'static, str>>,
}

impl Handle {
    /// Creates a span that has already ended; see [`completed_span`](crate::completed_span).
    pub fn completed_span(
        &self,
        name: impl Into<Cow<'static, str>>,
        start: SystemTime,
        duration: Duration,
    ) -> CompletedSpan {
        CompletedSpan::new(Some(self.clone()), name.into(), start, duration)
    }
}

impl CompletedSpan {
    pub(crate) fn new(
        handle: Option<Handle>,
        name: Cow<'static, str>,
        start: SystemTime,
        duration: Duration,
    ) -> Self {
        Self {
            handle,
            name,
            start,
            duration,
            kind: SpanKind::default(),
            links: Vec::new(),
            attributes: Vec::new(),
            error: None,
        }
    }

    /// Sets the kind; default [`SpanKind::Internal`].
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds a link to another span, such as that of a message.
    pub fn link(mut self, to: SpanIds) -> Self {
        self.links.push(to);
        self
    }

    /// Adds an attribute.
    pub fn attribute(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.attributes.extend(key_value(key, value));
        self
    }

    /// Marks it as failed, with the kind of the error as `error.type`.
    pub fn error(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.error = Some(kind.into());
        self
    }

    /// Records the span. A time before 1970, which neither OTLP nor JSON can represent, becomes the start of 1970.
    pub fn record(self) {
        let Some(tracer) = self.handle.as_ref().and_then(Handle::tracer) else {
            return;
        };
        let mut builder = SpanBuilder::from_name(name_of(self.name))
            .with_kind(self.kind.into_otel())
            .with_start_time(self.start.max(SystemTime::UNIX_EPOCH))
            .with_attributes(self.attributes);
        builder.links = links(self.links);
        let mut span = tracer.build_with_context(builder, &Context::current());
        if let Some(kind) = self.error {
            span.set_status(Status::error(""));
            span.set_attribute(KeyValue::new(ERROR_TYPE, kind));
        }
        let end = self.start.checked_add(self.duration).unwrap_or(self.start);
        span.end_with_timestamp(end.max(SystemTime::UNIX_EPOCH));
    }
}
