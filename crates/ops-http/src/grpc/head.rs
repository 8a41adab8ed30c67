//! Parsing of gRPC headers and trailers.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};

use super::GrpcCode;

/// Maximum length of the value of `grpc-message` in bytes, percent-encoded; the rest is ignored.
const MAX_ENCODED_BYTES: usize = 3 * MAX_MESSAGE_BYTES;

/// Maximum length of a message in bytes; longer messages are cut.
pub(super) const MAX_MESSAGE_BYTES: usize = 1024;

/// Maximum number of digits in `grpc-timeout`.
const MAX_TIMEOUT_DIGITS: usize = 8;

/// Status and message in a head or in trailers.
#[derive(Clone, Debug)]
pub(crate) struct SentStatus {
    pub(crate) code: GrpcCode,
    pub(crate) message: Option<Box<str>>,
}

impl SentStatus {
    pub(crate) fn parse(headers: &HeaderMap) -> Option<Self> {
        let status = headers.get("grpc-status")?;
        let message = headers.get("grpc-message");
        Some(Self {
            code: GrpcCode::parse(status.as_bytes()),
            message: message.and_then(|message| decoded(message.as_bytes())),
        })
    }
}

/// Returns `true` for a POST of `application/grpc`, with or without a format.
pub(super) fn is_call(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST && is_grpc(headers)
}

/// Returns `true` for the content type `application/grpc`, with or without a format.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    const KIND: &[u8] = b"application/grpc";
    headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        let (start, rest) = kind.split_at(KIND.len().min(kind.len()));
        start.eq_ignore_ascii_case(KIND) && matches!(rest.first(), None | Some(b'+' | b';'))
    })
}

/// Parses `grpc-timeout`: up to eight digits and a unit. Returns `None` if it is not valid.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let unit = value.bytes().last()?;
    let digits = value.get(..value.len().checked_sub(1)?)?;
    let is_number = (1..=MAX_TIMEOUT_DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u64>().ok().filter(|_| is_number)?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Decodes percent-encoding. Invalid encoding is kept unchanged,
/// as the protocol requires; invalid UTF-8 becomes U+FFFD.
fn decoded(value: &[u8]) -> Option<Box<str>> {
    let value = &value[..value.len().min(MAX_ENCODED_BYTES)];
    let hex = |at: usize| char::from(*value.get(at)?).to_digit(16);
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            _ => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    (!text.is_empty()).then(|| text.into_boxed_str())
}
