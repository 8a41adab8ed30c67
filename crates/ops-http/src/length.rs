use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, response};
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
    /// Exactly this many bytes follow; a server leaves out the rest of a longer body.
    Known(u64),
    /// Exactly this many bytes follow; a client refuses a longer body, which the server sends (RFC 9113, section 8.1.1).
    Checked(u64),
    /// Exactly this many bytes follow a head with a transfer coding. A router that adds the length makes
    /// it a head that no server sends: then the body is dropped before its first byte.
    Coded(u64),
    /// Only the end of the body shows its length.
    Unknown,
    /// The reader ends it (`text/event-stream`, `multipart/x-mixed-replace`).
    Endless,
    /// The handler made a head that no server sends.
    Unsendable,
    /// The head is sent with an invalid length, or with another one than the body has.
    Invalid,
}

impl BodyLength {
    /// Returns the length of a response that is served to a request of this version.
    pub(crate) fn served(
        version: Version,
        method: &Method,
        head: &response::Parts,
        body: &impl Body,
    ) -> Self {
        if is_interim(head.status, version) {
            return Self::Unsendable;
        }
        if has_no_content(method, head.status) {
            return Self::NoContent;
        }
        let is_http1 = version < Version::HTTP_2;
        let exact = body.size_hint().exact();
        if is_http1 && exact == Some(0) && body.is_end_stream() {
            return Self::Known(0); // the server declares the length of an empty body
        }
        let known = if is_http1 { Self::Known } else { Self::Checked };
        if declares_nothing(&head.headers) {
            return exact.map_or_else(|| Self::without_length(head), known);
        }
        // HTTP/1.0 has no transfer codings, and HTTP/2 removes the header
        let is_coded = version == Version::HTTP_11 && head.headers.contains_key(TRANSFER_ENCODING);
        let Some(declared) = head.headers.get(CONTENT_LENGTH) else {
            return match exact {
                Some(length) if is_coded => Self::Coded(length),
                Some(length) => known(length),
                None => Self::without_length(head),
            };
        };
        if is_coded {
            return Self::Unsendable;
        }
        match (exact, parse_length(declared)) {
            (Some(exact), Some(declared)) if exact == declared => known(exact),
            (None, Some(length)) if is_declared_once(head, length) => known(length),
            (None, _) if is_http1 && body.is_end_stream() => Self::without_length(head),
            (None, _) if is_http1 => Self::Unsendable,
            _ => Self::Invalid,
        }
    }

    /// Returns the length of a response that a client received and checked.
    pub(crate) fn received(method: &Method, head: &response::Parts, body: &impl Body) -> Self {
        if has_no_content(method, head.status) {
            return Self::NoContent;
        }
        let declared = || length_header(head).and_then(parse_length);
        match body.size_hint().exact().or_else(declared) {
            Some(length) => Self::Known(length),
            None => Self::without_length(head),
        }
    }

    fn without_length(head: &response::Parts) -> Self {
        match head.headers.get(CONTENT_TYPE) {
            Some(kind) if is_endless(kind) => Self::Endless,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn is_streamed(self) -> bool {
        matches!(self, Self::Unknown | Self::Endless)
    }

    /// Returns `true` if the server did not send the head of a response of which it took `sent` bytes.
    pub(crate) fn is_unsent(self, sent: u64) -> bool {
        match self {
            Self::Unsendable => true,
            Self::Coded(_) => sent == 0,
            _ => false,
        }
    }

    /// Returns the ending of a body that is dropped after `sent` bytes; `ended` if no further frame follows.
    pub(crate) fn ending(self, sent: u64, ended: bool) -> Ending {
        match self {
            Self::NoContent | Self::Endless => Ending::Complete,
            Self::Unsendable | Self::Invalid => Ending::Failed,
            Self::Checked(length) if sent > length => Ending::Failed,
            Self::Known(length) | Self::Checked(length) | Self::Coded(length) if sent >= length => {
                Ending::Complete
            }
            // the body is shorter than declared: the client did nothing wrong
            Self::Known(_) | Self::Checked(_) | Self::Coded(_) if ended => Ending::Failed,
            Self::Unknown if ended => Ending::Complete,
            _ if self.is_unsent(sent) => Ending::Failed,
            Self::Known(_) | Self::Checked(_) | Self::Coded(_) | Self::Unknown => Ending::Aborted,
        }
    }
}

/// Returns `true` for heads that another one follows, and for a switch of protocols, which HTTP/2 does not have. A
/// handler cannot respond with them: servers send 500, or reset the stream.
fn is_interim(status: StatusCode, version: Version) -> bool {
    let is_switch = status == StatusCode::SWITCHING_PROTOCOLS && version < Version::HTTP_2;
    status.is_informational() && !is_switch
}

fn has_no_content(method: &Method, status: StatusCode) -> bool {
    status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || *method == Method::HEAD
        || *method == Method::CONNECT && status.is_success()
}

/// Returns `true` if there is neither a length nor a transfer coding. Comparing a few names costs less than two lookups.
fn declares_nothing(headers: &HeaderMap) -> bool {
    const FEW: usize = 8;
    let mut names = headers.keys();
    headers.len() <= FEW && !names.any(|name| *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING)
}

/// Returns `false` if the head also declares another length.
fn is_declared_once(head: &response::Parts, length: u64) -> bool {
    let mut further = head.headers.get_all(CONTENT_LENGTH).iter().skip(1);
    further.all(|value| parse_length(value) == Some(length))
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
