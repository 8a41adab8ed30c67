//! B3 headers, as sent by Zipkin and Istio: a single header, or one for each part.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use super::hex;

pub(super) const SINGLE: HeaderName = HeaderName::from_static("b3");
pub(super) const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
pub(super) const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
pub(super) const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
pub(super) const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");

/// Mark of a context whose trace has the B3 flag `debug`, which is propagated with the trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct DebugTrace(pub(super) TraceId);

/// Reads B3 headers in either form, the single header first, as "B3 Extract" of OpenTelemetry's API for propagators
/// demands: the sender may use another form than the one chosen here. The second value is the flag `debug`.
pub(super) fn parse(headers: &HeaderMap) -> Option<(SpanContext, bool)> {
    parse_single(headers).or_else(|| parse_multi(headers))
}

/// Reads `<trace id>-<span id>-<sampled>-<parent>`; the last two may be missing. A trace id of 64 bits is padded with
/// zeros. Without `sampled` the sender leaves the decision open, and the trace is not sampled, as in other SDKs.
fn parse_single(headers: &HeaderMap) -> Option<(SpanContext, bool)> {
    let mut parts = headers.get(SINGLE)?.to_str().ok()?.split('-');
    let (trace_id, span_id) = (parts.next()?, parts.next()?);
    let state = parts.next();
    let debug = state == Some("d");
    let ids = ids(trace_id, span_id, state == Some("1") || debug)?;
    Some((ids, debug))
}

/// Reads the headers `x-b3-*`.
fn parse_multi(headers: &HeaderMap) -> Option<(SpanContext, bool)> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let debug = text(FLAGS) == Some("1");
    let sampled = matches!(text(SAMPLED), Some("1" | "true")) || debug;
    let ids = ids(text(TRACE_ID)?, text(SPAN_ID)?, sampled)?;
    Some((ids, debug))
}

fn ids(trace_id: &str, span_id: &str, sampled: bool) -> Option<SpanContext> {
    let mut trace = [0; 16];
    match trace_id.len() {
        32 => trace = hex(trace_id.as_bytes())?,
        16 => trace[8..].copy_from_slice(&hex::<8>(trace_id.as_bytes())?),
        _ => return None,
    }
    let span: [u8; 8] = (span_id.len() == 16).then(|| hex(span_id.as_bytes()))??;
    let context = SpanContext::new(
        TraceId::from_bytes(trace),
        SpanId::from_bytes(span),
        TraceFlags::default().with_sampled(sampled),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

/// Removes the headers of another parent, in either form, which are present if headers are passed on.
pub(super) fn remove(headers: &mut HeaderMap) {
    for name in [SINGLE, TRACE_ID, SPAN_ID, SAMPLED, FLAGS, PARENT_ID] {
        headers.remove(name);
    }
}

/// Reports whether the flag `debug` is propagated with this span: it has no meaning if the trace is not sampled.
fn is_debug(context: &Context, ids: &SpanContext) -> bool {
    let debug = context.get::<DebugTrace>();
    ids.is_sampled() && debug.is_some_and(|debug| debug.0 == ids.trace_id())
}

pub(super) fn inject_single(context: &Context, ids: &SpanContext, headers: &mut HeaderMap) {
    let state = match ids.is_sampled() {
        true if is_debug(context, ids) => "d",
        true => "1",
        false => "0",
    };
    let text = format!("{}-{}-{state}", ids.trace_id(), ids.span_id());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(SINGLE, value);
    }
}

/// Writes the headers `x-b3-*`. `debug` replaces the sampling decision, which it implies.
pub(super) fn inject_multi(context: &Context, ids: &SpanContext, headers: &mut HeaderMap) {
    let state = match ids.is_sampled() {
        true if is_debug(context, ids) => (FLAGS, "1"),
        true => (SAMPLED, "1"),
        false => (SAMPLED, "0"),
    };
    let ids = [
        (TRACE_ID, ids.trace_id().to_string()),
        (SPAN_ID, ids.span_id().to_string()),
    ];
    for (name, text) in ids {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
    headers.insert(state.0, HeaderValue::from_static(state.1));
}
