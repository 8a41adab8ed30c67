use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanBuilder, Status, Tracer as _};
use opentelemetry::{Context, KeyValue};

use crate::Handle;
use crate::span::{key_value, name_of};
use crate::value::Value;

/// Made by [`completed_span`](crate::completed_span).
#[must_use = "nothing is recorded until `record` is called"]
#[derive(Debug)]
pub struct CompletedSpan {
    handle: Option<Handle>,
    name: Cow<'static, str>,
    start: SystemTime,
    duration: Duration,
    attributes: Vec<KeyValue>,
    error: Option<Cow<'static, str>>,
}

impl Handle {
    /// A span that is over already: [`completed_span`](crate::completed_span) of this handle.
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
            attributes: Vec::new(),
            error: None,
        }
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

    /// Hands it over.
    pub fn record(self) {
        let Some(tracer) = self.handle.as_ref().and_then(Handle::tracer) else {
            return;
        };
        let builder = SpanBuilder::from_name(name_of(self.name))
            .with_start_time(self.start)
            .with_attributes(self.attributes);
        let mut span = tracer.build_with_context(builder, &Context::current());
        if let Some(kind) = self.error {
            span.set_status(Status::error(""));
            span.set_attribute(KeyValue::new("error.type", kind));
        }
        let end = self.start.checked_add(self.duration).unwrap_or(self.start);
        span.end_with_timestamp(end);
    }
}
