use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::context::current_span_context;
use crate::tracer::installed;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const MAX_TRACESTATE_BYTES: usize = 512;

/// Adds the current trace context to the headers of an outgoing request, or nothing where there is none.
pub fn inject(headers: &mut HeaderMap) {
    let context = current_span_context();
    if !context.is_valid() {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(&header(&context)) {
        headers.insert(TRACEPARENT, value);
    }
    let state = context.trace_state().header();
    if !state.is_empty()
        && let Ok(value) = HeaderValue::from_str(&state)
    {
        headers.insert(TRACESTATE, value);
    }
}

/// [`inject`] if [`Config::propagate_to`](crate::Config::propagate_to) names this host, and whether it does:
/// third parties are not told of our traces.
pub fn inject_to(host: &str, headers: &mut HeaderMap) -> bool {
    let known =
        installed().is_some_and(|i| i.propagate_to.iter().any(|h| h.eq_ignore_ascii_case(host)));
    if known {
        inject(headers);
    }
    known
}

/// `00-<trace id>-<span id>-<flags>`, as in `traceparent` and `traceresponse`.
pub(crate) fn header(context: &SpanContext) -> String {
    let flags = context.trace_flags().to_u8() & 1;
    format!(
        "00-{}-{}-{flags:02x}",
        context.trace_id(),
        context.span_id()
    )
}

/// The parent that a request names, by the rules of W3C trace context, which the SDK's own propagator does not keep.
#[cfg_attr(
    not(any(feature = "http", test)),
    expect(dead_code, reason = "servers read it")
)]
pub(crate) fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return None;
    };
    let (trace_id, span_id, flags) = parse(value.as_bytes())?;
    let state = trace_state(headers).unwrap_or_default();
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

fn parse(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (head, rest) = value.split_at_checked(55)?;
    if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
        return None;
    }
    let version = hex::<1>(&head[..2])?[0];
    let known_end = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let trace_id = TraceId::from_bytes(hex(&head[3..35])?);
    let span_id = SpanId::from_bytes(hex(&head[36..52])?);
    let flags = TraceFlags::new(hex::<1>(&head[53..])?[0] & 1);
    let valid = known_end && trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    valid.then_some((trace_id, span_id, flags))
}

fn trace_state(headers: &HeaderMap) -> Option<TraceState> {
    let mut parts = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        parts.push(value.to_str().ok()?);
    }
    let joined = parts.join(",");
    (joined.len() <= MAX_TRACESTATE_BYTES)
        .then(|| joined.parse().ok())
        .flatten()
}

/// Lower-case hexadecimal digits only, as the specification has it.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn traceparent_is_read_by_the_rules_of_w3c() {
        let later = VALID.replacen("00-", "cc-", 1);
        for (value, valid) in [
            (VALID.to_owned(), true),
            (later.clone(), true),
            (format!("{later}-what-comes-later"), true),
            (format!("{later}.x"), false),
            (format!("{VALID}-x"), false),
            (VALID.replacen("00-", "ff-", 1), false),
            (VALID.to_uppercase(), false),
            (
                VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
                false,
            ),
            (VALID.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (VALID.replace("-01", "-0+"), false),
            ("00-42-1-01".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(parse(value.as_bytes()).is_some(), valid, "{value}");
        }
    }

    #[test]
    fn two_traceparents_are_none_and_an_oversize_tracestate_leaves_the_trace() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(VALID));
        let long = format!("a={}", "x".repeat(600));
        headers.insert(TRACESTATE, HeaderValue::from_str(&long).unwrap());
        let context = extract(&headers).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().header(), "");
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(extract(&headers).is_none());
    }
}
