//! Which `Cache-Control` a response gets.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};

use crate::config::HttpCache;

const STATIC: [&str; 2] = ["/static/", "/assets/"];

/// For a 200 to GET or HEAD; `None` where the configuration says nothing about the path.
pub(super) fn control(config: &HttpCache, path: &str, request: &HeaderMap) -> Option<HeaderValue> {
    let stable = config
        .stable_endpoints
        .iter()
        .find(|endpoint| endpoint.path == path)
        .map(|endpoint| endpoint.max_age);
    let is_static = STATIC.iter().any(|prefix| path.starts_with(prefix))
        && !path.split('/').any(|segment| segment == "..");
    if stable.is_none() && is_static && path.ends_with(".html") {
        return Some(HeaderValue::from_static("no-cache"));
    }
    let max_age = stable.or(is_static.then_some(config.static_max_age))?;
    let whose = if is_personal(config, request) {
        "private"
    } else {
        "public"
    };
    HeaderValue::from_str(&format!("{whose}, max-age={max_age}")).ok()
}

/// Whether the answer may be for this client alone.
pub(super) fn is_personal(config: &HttpCache, request: &HeaderMap) -> bool {
    let mut cookies = request.get_all(COOKIE).iter();
    request.contains_key(AUTHORIZATION)
        || cookies.any(|line| {
            config.session_cookies.is_empty()
                || line
                    .to_str()
                    .map_or(true, |line| names_session(config, line))
        })
}

fn names_session(config: &HttpCache, line: &str) -> bool {
    line.split(';').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default().trim();
        config.session_cookies.iter().any(|cookie| cookie == name)
    })
}
