//! `Cache-Control` of responses.

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, EXPIRES};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::config::HttpCache;

const STATIC: [&str; 2] = ["/static/", "/assets/"];

/// Rule for a path that the configuration covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Stable {
        max_age: u64,
    },
    /// A file, unless the response is a page: a fallback may respond for files that do not exist.
    Static {
        max_age: u64,
        is_page: bool,
    },
}

pub(super) fn rule(config: &HttpCache, path: &str) -> Option<Rule> {
    let stable = config
        .stable_endpoints
        .iter()
        .find(|endpoint| endpoint.path == path);
    if let Some(endpoint) = stable {
        let max_age = endpoint.max_age;
        return Some(Rule::Stable { max_age });
    }
    let is_static =
        STATIC.iter().any(|prefix| path.starts_with(prefix)) && path.split('/').all(is_plain);
    is_static.then_some(Rule::Static {
        max_age: config.static_max_age,
        is_page: path.ends_with(".html"),
    })
}

/// Returns `true` if a segment names something in its directory, even for a server that decodes it, once or more often.
fn is_plain(segment: &str) -> bool {
    let lower = segment.to_ascii_lowercase();
    let has_encoded = ["%2e", "%2f", "%5c", "%25", "%00"]
        .iter()
        .any(|encoded| lower.contains(encoded));
    !has_encoded && segment != "." && segment != ".." && !segment.contains('\\')
}

/// Returns the header for a 200, 206 or 304 to GET or HEAD; empty if nothing is added to the `Expires` of the response,
/// which a `max-age` would override (RFC 9111 section 5.3).
pub(super) fn control(
    rule: Rule,
    is_personal: bool,
    status: StatusCode,
    response: &HeaderMap,
) -> Option<HeaderValue> {
    let max_age = match rule {
        Rule::Static { is_page: named, .. } if named || is_page(response) => {
            return Some(HeaderValue::from_static("no-cache"));
        }
        // a 206 or 304 without a type may stand for a file or a page: the stored response keeps the header of its 200
        Rule::Static { .. } if status != StatusCode::OK && !names_type(response) => return None,
        Rule::Stable { max_age } | Rule::Static { max_age, .. } => max_age,
    };
    if response.contains_key(EXPIRES) {
        let whose = if is_personal { "private" } else { "" };
        return Some(HeaderValue::from_static(whose));
    }
    let whose = if is_personal { "private" } else { "public" };
    HeaderValue::from_str(&format!("{whose}, max-age={max_age}")).ok()
}

fn is_page(response: &HeaderMap) -> bool {
    essence(response).is_some_and(|essence| {
        essence.eq_ignore_ascii_case(b"text/html")
            || essence.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

/// Returns `true` if the media type is that of the stored resource: multiple ranges have a type of their own.
fn names_type(response: &HeaderMap) -> bool {
    let of_ranges = b"multipart/byteranges";
    essence(response).is_some_and(|essence| !essence.eq_ignore_ascii_case(of_ranges))
}

fn essence(response: &HeaderMap) -> Option<&[u8]> {
    let media_type = response.get(CONTENT_TYPE)?.as_bytes();
    let essence = media_type.split(|byte| *byte == b';').next()?;
    Some(essence.trim_ascii())
}

/// Returns `true` if the response may be for this client only.
pub(super) fn is_personal(config: &HttpCache, request: &HeaderMap) -> bool {
    let mut cookies = request.get_all(COOKIE).iter();
    request.contains_key(AUTHORIZATION)
        || config
            .credential_headers
            .iter()
            .any(|name| request.contains_key(name.as_str()))
        || cookies.any(|line| {
            config.session_cookies.is_empty()
                || line
                    .to_str()
                    .map_or(true, |line| names_session(config, line))
        })
}

/// Returns the names of the request headers that [`is_personal`] reads: each response with a rule varies with them.
pub(super) fn vary(config: &HttpCache) -> Option<HeaderValue> {
    let names = ["authorization", "cookie"];
    let more = config.credential_headers.iter().map(String::as_str);
    let all: Vec<_> = names.into_iter().chain(more).collect();
    HeaderValue::from_str(&all.join(", ").to_ascii_lowercase()).ok()
}

fn names_session(config: &HttpCache, line: &str) -> bool {
    line.split(';').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default().trim();
        config.session_cookies.iter().any(|cookie| cookie == name)
    })
}
