//! `Cache-Control` from `cache.yaml`, as a tower layer.
//!
//! GET and HEAD with status 200 on a stable endpoint get `max-age`; `private` where the request carries credentials. A matching
//! `If-None-Match` is answered 304 when the handler set an `ETag`. Headers that a handler set stay.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, ETAG,
    IF_NONE_MATCH, SET_COOKIE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::config::{Config, HttpCache};

/// Adds the headers that `http_cache` of `cache.yaml` asks for.
#[derive(Clone, Debug)]
pub struct CacheLayer(Arc<HttpCache>);

impl CacheLayer {
    /// The layer for this configuration.
    pub fn new(config: &Config) -> Self {
        Self(Arc::new(config.http_cache.clone()))
    }
}

impl<S> tower_layer::Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheService {
            inner,
            config: self.0.clone(),
        }
    }
}

/// What [`CacheLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct CacheService<S> {
    inner: S,
    config: Arc<HttpCache>,
}

impl<S, B, R> tower_service::Service<Request<B>> for CacheService<S>
where
    S: tower_service::Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let asked = (self.config.enabled && reads).then(|| {
            (
                control(&self.config, request.uri().path(), request.headers()),
                condition(request.headers()),
            )
        });
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(match asked {
                Some((control, condition)) if response.status() == StatusCode::OK => {
                    finish(response, control, condition.as_deref())
                }
                _ => response,
            })
        })
    }
}

fn control(config: &HttpCache, path: &str, headers: &HeaderMap) -> Option<HeaderValue> {
    let stable = config
        .stable_endpoints
        .iter()
        .find(|endpoint| endpoint.path == path)
        .map(|endpoint| endpoint.max_age);
    let is_static = path.starts_with("/static/") || path.starts_with("/assets/");
    let max_age = stable.or(is_static.then_some(config.static_max_age))?;
    let private = headers.contains_key(AUTHORIZATION) || headers.contains_key(COOKIE);
    HeaderValue::from_str(&format!(
        "{}, max-age={max_age}",
        if private { "private" } else { "public" }
    ))
    .ok()
}

fn condition(headers: &HeaderMap) -> Option<String> {
    let lines: Vec<_> = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

fn finish<R: Default>(
    mut response: Response<R>,
    control: Option<HeaderValue>,
    condition: Option<&str>,
) -> Response<R> {
    let headers = response.headers_mut();
    if headers.contains_key(SET_COOKIE) {
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    } else if let Some(control) = control {
        headers.entry(CACHE_CONTROL).or_insert(control);
    }
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    let unchanged =
        tag.is_some_and(|tag| condition.is_some_and(|condition| matches(condition, tag)));
    if !unchanged {
        return response;
    }
    for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING] {
        headers.remove(name);
    }
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.map(|_| R::default())
}

/// Weak comparison with a list of tags, or `*` (RFC 9110 §13.1.2). A comma inside a tag makes no match: a full answer is always right.
fn matches(condition: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    condition.trim() == "*"
        || condition
            .split(',')
            .any(|given| given.trim().ends_with('"') && opaque(given) == opaque(tag))
}
