//! Trace context and baggage in headers: reading, writing, and the hosts that receive them. W3C trace context, levels 1
//! and 2, unless `OTEL_PROPAGATORS` chooses other formats.

mod b3;
pub(crate) mod baggage;
mod formats;
mod hosts;
mod traceparent;
mod tracestate;
mod xray;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{Span, SpanContext, TraceContextExt, TraceFlags};

use b3::DebugTrace;
pub(crate) use formats::Formats;
pub(crate) use hosts::Hosts;
pub(crate) use traceparent::header;
use traceparent::hex;
use tracestate::WholeState;

/// Flag of level 2: the trace id is random.
const RANDOM: TraceFlags = TraceFlags::new(traceparent::RANDOM);

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Adds the context to the headers, in each of the formats. With
/// a span, headers of another context are replaced or removed.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap, formats: Formats) {
    if formats.baggage {
        baggage::inject(context, headers);
    }
    let span = context.span();
    let ids = span.span_context();
    if !ids.is_valid() {
        return;
    }
    if formats.trace_context {
        inject_trace_context(context, ids, headers);
    }
    if formats.b3 || formats.b3_multi {
        b3::remove(headers);
    }
    if formats.b3 {
        b3::inject_single(context, ids, headers);
    }
    if formats.b3_multi {
        b3::inject_multi(context, ids, headers);
    }
    if formats.xray {
        xray::inject(ids, headers);
    }
}

fn inject_trace_context(context: &Context, ids: &SpanContext, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_bytes(&header(ids)) {
        headers.insert(TRACEPARENT, value);
    }
    let state = tracestate::header(context, ids);
    match HeaderValue::from_str(&state) {
        Ok(value) if !state.is_empty() => drop(headers.insert(TRACESTATE, value)),
        // a `tracestate` that is present belongs to another parent, if headers are passed on
        _ => drop(headers.remove(TRACESTATE)),
    }
}

/// Remote parent from the headers of a request.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) span: SpanContext,
    state: Option<WholeState>,
    /// The flag `debug` of B3.
    debug: bool,
}

impl Remote {
    fn new(traceparent: &[u8], tracestate: &str) -> Option<Self> {
        let (trace_id, span_id, flags) = traceparent::parse(traceparent)?;
        let state = tracestate::parse(tracestate).unwrap_or_default();
        Some(Self {
            span: SpanContext::new(trace_id, span_id, flags, true, state.sdk),
            state: state.whole.map(|text| WholeState { trace_id, text }),
            debug: false,
        })
    }

    /// Creates a remote parent without a `tracestate`.
    fn without_state((span, debug): (SpanContext, bool)) -> Self {
        let state = None;
        Self { span, state, debug }
    }

    /// Makes this the parent of spans that are started in the returned context.
    pub(crate) fn in_context(self, context: &Context) -> Context {
        let debug = self.debug.then(|| DebugTrace(self.span.trace_id()));
        let mut context = context.with_remote_span_context(self.span);
        if let Some(state) = self.state {
            context = context.with_value(state);
        }
        match debug {
            Some(debug) => context.with_value(debug),
            None => context,
        }
    }
}

/// Returns the parent in the headers of a request: `traceparent`,
/// or else B3, or else X-Ray, as far as these formats are chosen.
pub(crate) fn extract(headers: &HeaderMap, formats: Formats) -> Option<Remote> {
    // headers of a format that is not chosen are ignored
    let of = |on: bool, read: fn(&HeaderMap) -> Option<(SpanContext, bool)>| {
        let span = if on { read(headers) } else { None };
        span.map(Remote::without_state)
    };
    let by_traceparent = if formats.trace_context {
        trace_context(headers)
    } else {
        None
    };
    by_traceparent
        .or_else(|| of(formats.b3 || formats.b3_multi, b3::parse))
        .or_else(|| of(formats.xray, |headers| Some((xray::parse(headers)?, false))))
}

/// Reads `traceparent` by the rules of W3C trace context, which the SDK's propagator does not follow.
fn trace_context(headers: &HeaderMap) -> Option<Remote> {
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

/// Returns the context in which a span is current. For a span that records nothing, the context has only the ids.
// inlined, because a span of the SDK is a large value
#[inline]
pub(crate) fn with_span<S: Span + Send + Sync + 'static>(parent: &Context, span: S) -> Context {
    if span.is_recording() {
        parent.with_span(span)
    } else {
        not_recorded(parent, span.span_context())
    }
}

/// Returns the context of a span that has only ids.
///
/// The SDK clears all flags of such a span, but the random flag describes the trace id and has to be kept.
fn not_recorded(parent: &Context, ids: &SpanContext) -> Context {
    let random = parent.span().span_context().trace_flags() & RANDOM;
    parent.with_remote_span_context(SpanContext::new(
        ids.trace_id(),
        ids.span_id(),
        ids.trace_flags() | random,
        false,
        ids.trace_state().clone(),
    ))
}

/// Propagator with the same rules, for libraries that use OpenTelemetry's global propagator.
#[derive(Debug)]
pub(crate) struct Propagator {
    formats: Formats,
    /// Headers that are written.
    fields: Vec<String>,
    /// Headers that are read.
    read: Vec<HeaderName>,
}

impl Propagator {
    pub(crate) fn new(formats: Formats) -> Self {
        let is_b3 = formats.b3 || formats.b3_multi;
        let read = Formats {
            b3: is_b3,
            b3_multi: is_b3,
            ..formats
        };
        let written = names_of(formats).into_iter();
        Self {
            formats,
            fields: written.map(|name| name.as_str().to_owned()).collect(),
            read: names_of(read),
        }
    }
}

fn names_of(formats: Formats) -> Vec<HeaderName> {
    let of_formats: [(bool, &[HeaderName]); 5] = [
        (formats.trace_context, &[TRACEPARENT, TRACESTATE]),
        (formats.baggage, &[baggage::HEADER]),
        (formats.b3, &[b3::SINGLE]),
        (
            formats.b3_multi,
            &[b3::TRACE_ID, b3::SPAN_ID, b3::SAMPLED, b3::FLAGS],
        ),
        (formats.xray, &[xray::HEADER]),
    ];
    let chosen = of_formats.into_iter().filter(|(on, _)| *on);
    chosen.flat_map(|(_, names)| names.to_vec()).collect()
}

impl TextMapPropagator for Propagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let mut headers = HeaderMap::new();
        inject(context, &mut headers, self.formats);
        for (name, value) in &headers {
            if let Ok(text) = value.to_str() {
                injector.set(name.as_str(), text.to_owned());
            }
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let mut headers = HeaderMap::new();
        for name in &self.read {
            for value in extractor.get_all(name.as_str()).unwrap_or_default() {
                // a value that cannot be a header is invalid in every format
                let invalid = |_| HeaderValue::from_static("?");
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(invalid);
                headers.append(name.clone(), value);
            }
        }
        let context = match extract(&headers, self.formats) {
            Some(remote) => remote.in_context(context),
            None => context.clone(),
        };
        if self.formats.baggage {
            baggage::extract(&headers, context)
        } else {
            context
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}
