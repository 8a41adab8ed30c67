use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};

/// Trace and span id of a span, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanIds {
    /// Id of the trace.
    pub trace_id: [u8; 16],
    /// Id of the span.
    pub span_id: [u8; 8],
}

impl SpanIds {
    /// Creates ids from bytes, such as those that came with a message.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self { trace_id, span_id }
    }
}

/// Returns the ids of the current span, even if it is not sampled.
pub fn current_span_ids() -> Option<SpanIds> {
    Context::map_current(|current| ids_of(current.span().span_context()))
}

/// Returns the trace id of the current span if it is sampled: for exemplars, whose trace must exist.
pub fn current_sampled_trace_id() -> Option<[u8; 16]> {
    Context::map_current(|current| {
        let span = current.span();
        let context = span.span_context();
        let found = context.is_valid() && context.is_sampled();
        found.then(|| context.trace_id().to_bytes())
    })
}

pub(crate) fn ids_of(context: &SpanContext) -> Option<SpanIds> {
    context.is_valid().then(|| SpanIds {
        trace_id: context.trace_id().to_bytes(),
        span_id: context.span_id().to_bytes(),
    })
}

/// Returns the current trace id as 32 hexadecimal digits, even if it is not sampled, or `no-trace`.
///
/// [`current_span_ids`] returns the same without an allocation.
pub fn get_current_trace_id() -> String {
    Context::map_current(|current| {
        let span = current.span();
        let context = span.span_context();
        if !context.is_valid() {
            return "no-trace".to_owned();
        }
        context.trace_id().to_string()
    })
}
