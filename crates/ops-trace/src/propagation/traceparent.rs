use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId};

const HEADER_BYTES: usize = 55;
/// Sampled (level 1) and random (level 2); unknown flags are cleared.
const KNOWN_FLAGS: u8 = 0b11;
/// "At least the right-most 7 bytes of the trace id are random" (W3C trace context, level 2).
pub(crate) const RANDOM: u8 = 0b10;

/// Returns `00-<trace id>-<span id>-<flags>`, the value of `traceparent` and `traceresponse`.
pub(crate) fn header(context: &SpanContext) -> [u8; HEADER_BYTES] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    digits(&mut text[3..35], &context.trace_id().to_bytes());
    digits(&mut text[36..52], &context.span_id().to_bytes());
    digits(
        &mut text[53..],
        &[context.trace_flags().to_u8() & KNOWN_FLAGS],
    );
    text
}

/// Writes two digits for each byte; about ten times as fast as formatting.
fn digits(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// Both digits of every byte.
static PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Parses a `traceparent`; `None` if it is invalid.
pub(crate) fn parse(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (head, rest) = value.split_at_checked(HEADER_BYTES)?;
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
    let flags = TraceFlags::new(hex::<1>(&head[53..])?[0] & KNOWN_FLAGS);
    let valid = known_end && trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    valid.then_some((trace_id, span_id, flags))
}

/// Parses hexadecimal digits, in lower case only, as the specification demands.
pub(super) fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
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
