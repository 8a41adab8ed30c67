use http::header::{AGE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::condition::Condition;
use crate::event::{Status, Tier};
use crate::http_stats;
use crate::query::{Origin, QueryResult};
use crate::stats::Miss;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Returns the value of `cache-status` (RFC 9211). A stale hit has a negative `ttl`.
fn cache_status(result: &QueryResult) -> String {
    match (result.origin(), result.status()) {
        (
            Origin::Kept {
                tier, fresh_for, ..
            },
            _,
        ) => {
            let tier = match tier {
                Tier::Memory => "memory",
                Tier::Disk => "disk",
                Tier::Shared => "shared",
            };
            format!("data-cache; hit; ttl={fresh_for}; detail={tier}")
        }
        (_, Status::Bypass(reason)) => {
            format!("data-cache; fwd=bypass; detail={}", reason.as_str())
        }
        (Origin::Missed(Miss::Expired), _) => "data-cache; fwd=stale".to_owned(),
        (Origin::Missed(Miss::Disabled), _) | (_, Status::Off) => {
            "data-cache; fwd=bypass; detail=disabled".to_owned()
        }
        (Origin::Missed(Miss::Absent), _) | (Origin::Bypassed, _) => {
            "data-cache; fwd=miss".to_owned()
        }
        (Origin::Missed(miss), _) => format!("data-cache; fwd=miss; detail={}", miss.as_str()),
    }
}

/// Headers of a response that shows a query result.
#[derive(Clone, Debug)]
pub struct Validator {
    headers: HeaderMap,
    etag: Option<String>,
}

impl Validator {
    /// Creates headers for a body that is built from `result` only. `representation` names everything else that it
    /// depends on: media type, version of its shape, language.
    pub fn of(result: &QueryResult, representation: &str) -> Self {
        let mut headers = HeaderMap::new();
        let status = HeaderValue::from_static(result.status().as_str());
        headers.insert(X_CACHE, status);
        if let Ok(status) = HeaderValue::from_str(&cache_status(result)) {
            headers.insert(CACHE_STATUS, status);
        }
        if matches!(result.status(), Status::Hit(_) | Status::Stale) {
            headers.insert(AGE, HeaderValue::from(result.age().as_secs()));
        }
        let etag = result.etag(representation);
        let value = etag
            .as_deref()
            .and_then(|etag| HeaderValue::from_str(etag).ok());
        if let Some(value) = value {
            headers.insert(ETAG, value);
        }
        Self { headers, etag }
    }

    /// Returns `true` if the client has this result already: respond with 304, with [`headers`](Self::headers) and
    /// without a body. For GET and HEAD only. Counts a hit; a miss is counted by the layer, which sees the response.
    pub fn is_current(&self, request: &HeaderMap) -> bool {
        let Some(etag) = &self.etag else {
            return false;
        };
        let current = Condition::of(request).is_some_and(|condition| condition.matches(etag));
        if current {
            http_stats::count_hit();
        }
        current
    }

    /// Returns `x-cache`, `cache-status` (RFC 9211), `etag`, and `age` if the result came from the cache.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}
