//! `If-None-Match` (RFC 9110 section 13.1.2).

use http::HeaderMap;
use http::header::IF_NONE_MATCH;

/// Maximum length of a condition in bytes; longer ones are ignored, since a full response is always correct.
const MAX_BYTES: usize = 8 * 1024;
/// Maximum number of tags; conditions with more are ignored.
const MAX_TAGS: usize = 64;

/// Tags that the client has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Anything,
    /// Opaque tags, with their quotes and without `W/`.
    Tags(Vec<String>),
}

impl Condition {
    /// Parses the condition; `None` if there is none, or it is malformed.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(IF_NONE_MATCH).iter().peekable();
        lines.peek()?;
        let mut text = String::new();
        for line in lines {
            let line = std::str::from_utf8(line.as_bytes()).ok()?;
            if text.len() + line.len() > MAX_BYTES {
                return None;
            }
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(line);
        }
        if text.trim() == "*" {
            return Some(Self::Anything);
        }
        tags(&text).map(Self::Tags)
    }

    /// Returns `true` if the tag matches, by weak comparison (section 8.8.3.2).
    pub(super) fn matches(&self, etag: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Tags(tags) => {
                let opaque = etag.strip_prefix("W/").unwrap_or(etag);
                tags.iter().any(|tag| tag == opaque)
            }
        }
    }
}

/// Parses a list of tags. A comma may be part of a tag; empty list elements are allowed (section 5.6.1.2).
fn tags(text: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(tags);
        }
        let tag = rest.strip_prefix("W/").unwrap_or(rest);
        let inside = tag.strip_prefix('"')?;
        let end = inside.find('"')?;
        if inside[..end].bytes().any(|b| b <= b' ' || b == 0x7f) || tags.len() == MAX_TAGS {
            return None;
        }
        tags.push(tag[..end + 2].to_owned());
        rest = inside[end + 1..].trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
    }
}
