//! W3C trace context, levels 1 and 2: what comes in, what goes out, and to whom.

mod hosts;
mod traceparent;
mod tracestate;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{Span, SpanContext, TraceContextExt, TraceFlags};

pub(crate) use hosts::Hosts;
pub(crate) use traceparent::header;
use tracestate::WholeState;

/// Flag of a trace id that is random, of level 2.
#[cfg(feature = "tracing-spans")]
pub(crate) const RANDOM: TraceFlags = TraceFlags::new(traceparent::RANDOM);

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Adds the current trace context to the headers of an outgoing request, or nothing if there is none.
pub fn inject(headers: &mut HeaderMap) {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        if !ids.is_valid() {
            return;
        }
        if let Ok(value) = HeaderValue::from_bytes(&header(ids)) {
            headers.insert(TRACEPARENT, value);
        }
        let state = tracestate::header(context, ids);
        if !state.is_empty()
            && let Ok(value) = HeaderValue::from_str(&state)
        {
            headers.insert(TRACESTATE, value);
        }
    });
}

/// The span that a request's headers name.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) span: SpanContext,
    state: Option<WholeState>,
}

impl Remote {
    fn new(traceparent: &[u8], tracestate: &str) -> Option<Self> {
        let (trace_id, span_id, flags) = traceparent::parse(traceparent)?;
        let state = tracestate::parse(tracestate).unwrap_or_default();
        Some(Self {
            span: SpanContext::new(trace_id, span_id, flags, true, state.sdk),
            state: state.whole.map(|text| WholeState { trace_id, text }),
        })
    }

    /// Makes it the parent of the spans that are started in the returned context.
    pub(crate) fn in_context(self, context: &Context) -> Context {
        let context = context.with_remote_span_context(self.span);
        match self.state {
            Some(state) => context.with_value(state),
            None => context,
        }
    }
}

/// Returns the parent that a request names, by the rules of W3C trace context, which the SDK's own propagator does not
/// keep.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "servers read it"))]
pub(crate) fn extract(headers: &HeaderMap) -> Option<Remote> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return None;
    };
    let mut states = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        states.push(value.to_str().unwrap_or("?")); // bytes that are no text make the whole list invalid
    }
    Remote::new(value.as_bytes(), &states.join(","))
}

/// Returns the context in which a span is the current one.
///
/// The SDK clears all flags of a span that it does not record, but the random flag describes the trace id, and goes on.
// inlined, because a span of the SDK is a large value
#[inline]
pub(crate) fn with_span<S: Span + Send + Sync + 'static>(parent: &Context, span: S) -> Context {
    if !span.is_recording()
        && parent.has_active_span()
        && let Some(ids) = with_random_flag(parent, span.span_context())
    {
        return parent.with_remote_span_context(ids);
    }
    parent.with_span(span)
}

/// Returns the ids of a span with the random flag, if that of the parent is set.
fn with_random_flag(parent: &Context, ids: &SpanContext) -> Option<SpanContext> {
    let random = parent.span().span_context().trace_flags().to_u8() & traceparent::RANDOM;
    if random == 0 || !ids.is_valid() {
        return None;
    }
    Some(SpanContext::new(
        ids.trace_id(),
        ids.span_id(),
        TraceFlags::new(ids.trace_flags().to_u8() | random),
        false,
        ids.trace_state().clone(),
    ))
}

/// The same rules for libraries that ask OpenTelemetry's global propagator.
#[derive(Debug)]
pub(crate) struct W3c {
    fields: [String; 2],
}

impl Default for W3c {
    fn default() -> Self {
        Self {
            fields: [TRACEPARENT, TRACESTATE].map(|name| name.as_str().to_owned()),
        }
    }
}

impl TextMapPropagator for W3c {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span();
        let ids = span.span_context();
        if ids.is_valid() {
            let value = String::from_utf8_lossy(&header(ids)).into_owned();
            injector.set(TRACEPARENT.as_str(), value);
            let state = tracestate::header(context, ids);
            if !state.is_empty() {
                injector.set(TRACESTATE.as_str(), state);
            }
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let all = |name: HeaderName| extractor.get_all(name.as_str()).unwrap_or_default();
        let remote = match all(TRACEPARENT)[..] {
            [traceparent] => Remote::new(traceparent.as_bytes(), &all(TRACESTATE).join(",")),
            _ => None,
        };
        match remote {
            Some(remote) => remote.in_context(context),
            None => context.clone(),
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}
