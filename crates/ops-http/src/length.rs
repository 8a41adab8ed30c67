use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, Method, StatusCode, Version, response};
use http_body::Body;

use crate::Ending;

/// Length of a response body, according to the head of the response.
///
/// A server drops a body of known length after its last byte without polling for its end (RFC 9112, section
/// 6.2), and never reads a body without content. This length decides if a dropped body was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// No content follows this head (RFC 9110, section 6.4.1).
    NoContent,
    /// Exactly this many bytes follow.
    Known(u64),
    /// Only the end of the body shows its length.
    Unknown,
    /// The reader ends it (`text/event-stream`, `multipart/x-mixed-replace`).
    Endless,
    /// The handler made a head that no server sends.
    Invalid,
}

impl BodyLength {
    /// Returns the length of a served response, or with `is_received` of one that a client received and checked.
    pub(crate) fn of(
        method: &Method,
        head: &response::Parts,
        body: &impl Body,
        is_received: bool,
    ) -> Self {
        if !is_received && is_interim(head.status) {
            return Self::Invalid;
        }
        if has_no_content(method, head.status) {
            return Self::NoContent;
        }
        // the body's exact size comes first, because the server writes that
        if let Some(length) = body.size_hint().exact() {
            return Self::Known(length);
        }
        match length_header(head).map(parse_length) {
            Some(Some(length)) => return Self::Known(length),
            Some(None) if !is_received && !body.is_end_stream() => return Self::Invalid,
            _ => {}
        }
        match head.headers.get(CONTENT_TYPE) {
            Some(kind) if is_endless(kind) => Self::Endless,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn is_streamed(self) -> bool {
        matches!(self, Self::Unknown | Self::Endless)
    }

    /// Returns the ending of a body that is dropped after `sent` bytes; `ended` if no further frame follows.
    pub(crate) fn ending(self, sent: u64, ended: bool) -> Ending {
        match self {
            Self::NoContent | Self::Endless => Ending::Complete,
            Self::Invalid => Ending::Failed,
            Self::Known(length) if sent >= length => Ending::Complete,
            // the body is shorter than declared: the client did nothing wrong
            Self::Known(_) if ended => Ending::Failed,
            Self::Unknown if ended => Ending::Complete,
            Self::Known(_) | Self::Unknown => Ending::Aborted,
        }
    }
}

/// Returns `true` for heads that another one follows. A handler cannot respond with them: servers send 500, or reset the
/// stream.
pub(crate) fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn has_no_content(method: &Method, status: StatusCode) -> bool {
    status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || *method == Method::HEAD
        || *method == Method::CONNECT && status.is_success()
}

/// Returns the `Content-Length` in the head, unless the framing overrides it (RFC 9112, section 6.3).
fn length_header(head: &response::Parts) -> Option<&HeaderValue> {
    let value = head.headers.get(CONTENT_LENGTH)?;
    let chunked = head.version < Version::HTTP_2 && head.headers.contains_key(TRANSFER_ENCODING);
    (!chunked).then_some(value)
}

/// Parses a length of digits only: Rust also accepts `+5`, which is not a valid length.
fn parse_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Returns `true` for event streams, and for pictures that replace each other.
fn is_endless(content_type: &HeaderValue) -> bool {
    const ENDLESS: [&str; 2] = ["text/event-stream", "multipart/x-mixed-replace"];
    let bytes = content_type.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b';');
    let kind = bytes[..end.unwrap_or(bytes.len())].trim_ascii();
    let mut endless = ENDLESS.iter();
    endless.any(|endless| kind.eq_ignore_ascii_case(endless.as_bytes()))
}
