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

/// Returns the ids of the current span, also if it is not sampled.
pub fn current_span_ids() -> Option<SpanIds> {
    let context = current_span_context();
    context.is_valid().then(|| SpanIds {
        trace_id: context.trace_id().to_bytes(),
        span_id: context.span_id().to_bytes(),
    })
}

/// Returns the current trace id as 32 hexadecimal digits, also if it is not sampled, or `no-trace`.
///
/// [`current_span_ids`] returns the same without an allocation.
pub fn get_current_trace_id() -> String {
    let context = current_span_context();
    if !context.is_valid() {
        return "no-trace".to_owned();
    }
    context.trace_id().to_string()
}

pub(crate) fn current_span_context() -> SpanContext {
    Context::map_current(|current| {
        // most threads are in no span, most spans carry no trace state: then nothing is copied but the ids
        let span = current.span();
        span.span_context().clone()
    })
}
