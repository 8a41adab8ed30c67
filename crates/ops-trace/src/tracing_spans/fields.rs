use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry::trace::{SpanKind, SpanRef, Status, TraceContextExt};
use opentelemetry::{Array, Context, KeyValue, StringValue};
use opentelemetry_sdk::trace::Span as SdkSpan;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Record};
use tracing::{Event, Metadata};

use crate::limits::{DESCRIPTION, MAX_CAUSES, MAX_TEXT_BYTES, cut};
use crate::span::{failure, name_of};
use crate::value::Value;

const NAME: &str = "otel.name";
const KIND: &str = "otel.kind";
const STATUS: &str = "otel.status_code";

/// Returns the kind in the field `otel.kind`.
pub(super) fn kind_of(attributes: &Attributes<'_>) -> Option<SpanKind> {
    struct Kind(Option<SpanKind>);

    impl Visit for Kind {
        fn record_str(&mut self, field: &Field, value: &str) {
            if field.name() == KIND {
                self.0 = match value.to_ascii_lowercase().as_str() {
                    "server" => Some(SpanKind::Server),
                    "client" => Some(SpanKind::Client),
                    "producer" => Some(SpanKind::Producer),
                    "consumer" => Some(SpanKind::Consumer),
                    "internal" => Some(SpanKind::Internal),
                    _ => None,
                };
            }
        }

        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == KIND {
                self.record_str(field, &text_of(value));
            }
        }
    }

    attributes.metadata().fields().field(KIND)?;
    let mut kind = Kind(None);
    attributes.record(&mut kind);
    kind.0
}

/// Span that receives fields: one that is being created, or a running one.
pub(super) trait Fields {
    fn set(&mut self, attribute: KeyValue);
    fn set_status(&mut self, status: Status);
    fn set_name(&mut self, name: Cow<'static, str>);
}

impl Fields for SdkSpan {
    fn set(&mut self, attribute: KeyValue) {
        opentelemetry::trace::Span::set_attribute(self, attribute);
    }

    fn set_status(&mut self, status: Status) {
        opentelemetry::trace::Span::set_status(self, status);
    }

    fn set_name(&mut self, name: Cow<'static, str>) {
        opentelemetry::trace::Span::update_name(self, name);
    }
}

impl Fields for SpanRef<'_> {
    fn set(&mut self, attribute: KeyValue) {
        self.set_attribute(attribute);
    }

    fn set_status(&mut self, status: Status) {
        SpanRef::set_status(self, status);
    }

    fn set_name(&mut self, name: Cow<'static, str>) {
        self.update_name(name);
    }
}

/// Sets the fields of a `tracing` span on a span of this crate.
pub(super) struct SpanFields<'a, F> {
    span: &'a mut F,
    target: &'static str,
}

impl<'a, F: Fields> SpanFields<'a, F> {
    pub(super) fn new(span: &'a mut F, metadata: &'static Metadata<'static>) -> Self {
        Self {
            span,
            target: metadata.target(),
        }
    }

    pub(super) fn take(mut self, attributes: &Attributes<'_>) {
        self.span.set(KeyValue::new("target", self.target));
        attributes.record(&mut self);
    }

    pub(super) fn take_later(mut self, values: &Record<'_>) {
        values.record(&mut self);
    }

    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.span
            .set(KeyValue::new(field.name(), value.into().into_otel()));
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            NAME => self.span.set_name(name_of(text.into())),
            KIND => {} // already known, or too late
            STATUS if text.eq_ignore_ascii_case("ok") => self.span.set_status(Status::Ok),
            STATUS if text.eq_ignore_ascii_case("error") => {
                self.span.set_status(Status::error(""));
            }
            STATUS => {}
            DESCRIPTION => {
                let (status, description) = failure(text.into());
                self.span.set_status(status);
                self.span.set(description);
            }
            _ => self.set(field, text),
        }
    }
}

impl<F: Fields> Visit for SpanFields<'_, F> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, text_of(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(field, display_of(value));
        if let Some(causes) = causes(value) {
            let key = format!("{}.chain", field.name());
            self.span.set(KeyValue::new(key, causes));
        }
    }
}

/// Fields of an event.
pub(super) struct EventFields {
    message: Option<String>,
    error: Option<String>,
    attributes: Vec<KeyValue>,
    name: &'static str,
    is_severe: bool,
}

impl EventFields {
    pub(super) fn new(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut fields = Self {
            message: None,
            error: None,
            attributes: vec![
                KeyValue::new("level", metadata.level().as_str()),
                KeyValue::new("target", metadata.target()),
            ],
            name: metadata.name(),
            is_severe: *metadata.level() == tracing::Level::ERROR,
        };
        event.record(&mut fields);
        fields
    }

    /// Adds the event, or an exception if it is an error that a function returned. Such an error fails the span; any
    /// other event of level ERROR fails it if events are recorded.
    pub(super) fn add_to(self, context: &Context, is_returned: bool, events: bool) {
        let span = context.span();
        match self.error {
            Some(error) if is_returned => {
                let (status, description) = failure(error.clone().into());
                span.set_status(status);
                span.set_attribute(description);
                let mut attributes = vec![KeyValue::new("exception.message", error)];
                attributes.extend(self.attributes);
                span.add_event("exception", attributes);
            }
            error if events => {
                if self.is_severe {
                    span.set_status(Status::error(""));
                }
                let mut attributes = self.attributes;
                attributes.extend(error.map(|error| KeyValue::new("error", error)));
                let name = self.message.map_or(self.name.into(), Cow::Owned);
                span.add_event(name, attributes);
            }
            _ => {}
        }
    }

    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        let value = value.into().into_otel();
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = Some(text),
            "error" => self.error = Some(text),
            _ => self.set(field, text),
        }
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, text_of(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, cut(value.to_owned(), MAX_TEXT_BYTES));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, display_of(value));
        if let Some(causes) = causes(value) {
            let key = format!("{}.chain", field.name());
            self.attributes.push(KeyValue::new(key, causes));
        }
    }
}

fn causes(error: &(dyn Error + 'static)) -> Option<opentelemetry::Value> {
    let (mut causes, mut next) = (Vec::<StringValue>::new(), error.source());
    while let Some(cause) = next.filter(|_| causes.len() < MAX_CAUSES) {
        causes.push(display_of(cause).into());
        next = cause.source();
    }
    (!causes.is_empty()).then_some(opentelemetry::Value::Array(Array::String(causes)))
}

fn text_of(value: &dyn fmt::Debug) -> String {
    written(format_args!("{value:?}"))
}

fn display_of(value: &dyn fmt::Display) -> String {
    written(format_args!("{value}"))
}

/// Returns the text, cut at the limit while it is being formatted. A panic while formatting results in `***`.
fn written(value: fmt::Arguments<'_>) -> String {
    struct Bounded(String);

    impl Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0
                .push_str(&text[..text.floor_char_boundary(MAX_TEXT_BYTES + 1)]);
            match self.0.len() {
                0..=MAX_TEXT_BYTES => Ok(()),
                _ => Err(fmt::Error),
            }
        }
    }

    let mut text = Bounded(String::new());
    let done = catch_unwind(AssertUnwindSafe(|| text.write_fmt(value)));
    match done {
        // an error comes from the value, or from the limit
        Ok(_) => cut(text.0, MAX_TEXT_BYTES),
        Err(_) => "***".to_owned(),
    }
}
