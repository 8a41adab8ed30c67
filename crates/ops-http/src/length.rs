use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, Method, StatusCode, Version, response};
use http_body::Body;

use crate::Ending;

/// Length of a response body, as the head of the response has it.
///
/// A server drops a body of known length after its last byte without asking for an end (RFC 9112, section 6.2), and
/// one without content unread. It is this length that says if a dropped body was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// No content follows this head (RFC 9110, section 6.4.1).
    NoContent,
    /// Exactly this many bytes follow.
    Known(u64),
    /// The body ends where it ends.
    Unknown,
    /// The reader ends it (`text/event-stream`, `multipart/x-mixed-replace`).
    Endless,
}

impl BodyLength {
    pub(crate) fn of(method: &Method, head: &response::Parts, body: &impl Body) -> Self {
        if has_no_content(method, head.status) {
            return Self::NoContent;
        }
        // the server takes the body's word first: what it claims is what is written
        if let Some(length) = body.size_hint().exact().or_else(|| declared(head)) {
            return Self::Known(length);
        }
        match head.headers.get(CONTENT_TYPE) {
            Some(kind) if is_endless(kind) => Self::Endless,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn is_streamed(self) -> bool {
        matches!(self, Self::Unknown | Self::Endless)
    }

    /// Ending of a body that is dropped after so many bytes; `ended` if it has no further frame.
    pub(crate) fn ending(self, sent: u64, ended: bool) -> Ending {
        match self {
            Self::NoContent | Self::Endless => Ending::Complete,
            Self::Known(length) if sent >= length => Ending::Complete,
            // the body is shorter than its head says: the client did nothing wrong
            Self::Known(_) if ended => Ending::Failed,
            Self::Unknown if ended => Ending::Complete,
            Self::Known(_) | Self::Unknown => Ending::Aborted,
        }
    }
}

fn has_no_content(method: &Method, status: StatusCode) -> bool {
    status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || *method == Method::HEAD
        || *method == Method::CONNECT && status.is_success()
}

/// The length in the head, unless the framing overrides it (RFC 9112, section 6.3).
fn declared(head: &response::Parts) -> Option<u64> {
    let value = head.headers.get(CONTENT_LENGTH)?;
    let chunked = head.version < Version::HTTP_2 && head.headers.contains_key(TRANSFER_ENCODING);
    if chunked { None } else { digits(value) }
}

/// Digits only: `+5` is a number for Rust, and no length.
fn digits(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Events, and pictures each of which takes the place of the one before.
fn is_endless(content_type: &HeaderValue) -> bool {
    const ENDLESS: [&str; 2] = ["text/event-stream", "multipart/x-mixed-replace"];
    let bytes = content_type.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b';');
    let kind = bytes[..end.unwrap_or(bytes.len())].trim_ascii();
    let mut endless = ENDLESS.iter();
    endless.any(|endless| kind.eq_ignore_ascii_case(endless.as_bytes()))
}
