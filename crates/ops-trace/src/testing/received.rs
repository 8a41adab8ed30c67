use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// A span as a collector receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedSpan {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// Id of the parent; empty for the root of the trace.
    pub parent_span_id: String,
    /// Name of the span.
    pub name: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    pub kind: &'static str,
    /// Start time.
    pub start: SystemTime,
    /// Run time.
    pub duration: Duration,
    /// True if its status is an error.
    pub error: bool,
    /// Message of the status.
    pub status_message: String,
    /// Attributes in the order in which they were sent, values as text.
    pub attributes: Vec<(String, String)>,
    /// Number of dropped attributes.
    pub attributes_dropped: u32,
    /// Links to other traces.
    pub links: Vec<ReceivedLink>,
    /// Points in time inside the span.
    pub events: Vec<ReceivedEvent>,
    /// W3C trace state.
    pub trace_state: String,
    /// Resource attributes of the process that sent it.
    pub resource: Vec<(String, String)>,
}

/// A link of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedLink {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
}

/// An event of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedEvent {
    /// Name of the event.
    pub name: String,
    /// Attributes in the order in which they were sent, values as text.
    pub attributes: Vec<(String, String)>,
}

impl ReceivedSpan {
    /// Returns the value of an attribute as text.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        value(&self.attributes, key)
    }

    /// Returns the value of an attribute of the resource.
    pub fn resource(&self, key: &str) -> Option<&str> {
        value(&self.resource, key)
    }
}

pub(super) fn value<'a>(attributes: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(k, _)| k == key);
    found.map(|(_, value)| value.as_str())
}

pub(super) fn spans(request: ExportTraceServiceRequest) -> Vec<ReceivedSpan> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let resource = texts(resource.attributes);
        let of_scopes = of_resource.scope_spans.into_iter();
        spans.extend(of_scopes.flat_map(|s| s.spans).map(|s| span(s, &resource)));
    }
    spans
}

fn span(span: Span, resource: &[(String, String)]) -> ReceivedSpan {
    let status = span.status.unwrap_or_default();
    let nanos = span
        .end_time_unix_nano
        .saturating_sub(span.start_time_unix_nano);
    let kinds = [
        "unspecified",
        "internal",
        "server",
        "client",
        "producer",
        "consumer",
    ];
    let kind = usize::try_from(span.kind).ok().and_then(|at| kinds.get(at));
    ReceivedSpan {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: hex(&span.parent_span_id),
        name: span.name,
        kind: kind.unwrap_or(&"unknown"),
        start: SystemTime::UNIX_EPOCH + Duration::from_nanos(span.start_time_unix_nano),
        duration: Duration::from_nanos(nanos),
        error: status.code == StatusCode::Error as i32,
        status_message: status.message,
        attributes: texts(span.attributes),
        attributes_dropped: span.dropped_attributes_count,
        links: span
            .links
            .iter()
            .map(|link| ReceivedLink {
                trace_id: hex(&link.trace_id),
                span_id: hex(&link.span_id),
            })
            .collect(),
        events: span
            .events
            .into_iter()
            .map(|event| ReceivedEvent {
                name: event.name,
                attributes: texts(event.attributes),
            })
            .collect(),
        trace_state: span.trace_state,
        resource: resource.to_vec(),
    }
}

pub(super) fn texts(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    let attributes = attributes.into_iter();
    attributes.map(|a| (a.key, text(a.value))).collect()
}

pub(super) fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(b)) => b.to_string(),
        Some(Value::IntValue(i)) => i.to_string(),
        Some(Value::DoubleValue(d)) => d.to_string(),
        other => format!("{other:?}"),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
