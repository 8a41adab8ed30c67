//! The layer, its service and its future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, response};
use http_body::Body;

use super::body::CachedBody;
use super::condition::Condition;
use super::control::{Rule, control, is_personal, rule, vary};
use crate::config::{Config, HttpCache};
use crate::etag::compute_etag;
use crate::http_stats;

/// Maximum size in bytes of a body that is read for its tag.
const MAX_TAGGED_BYTES: u64 = 1 << 20;

/// Adds the headers that `http_cache` of `cache.yaml` configures. Add it inside of authentication and compression.
#[derive(Clone, Debug)]
pub struct CacheLayer(Arc<HttpCache>);

impl CacheLayer {
    /// Creates the layer for this configuration.
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

/// Service created by [`CacheLayer`].
#[derive(Clone, Debug)]
pub struct CacheService<S> {
    inner: S,
    config: Arc<HttpCache>,
}

impl<S, A, B> tower_service::Service<Request<A>> for CacheService<S>
where
    S: tower_service::Service<Request<A>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<CachedBody<B>>;
    type Error = S::Error;
    type Future = CachedFuture<S::Future, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let is_head = request.method() == Method::HEAD;
        let reads = is_head || request.method() == Method::GET;
        let info = (self.config.enabled && reads).then(|| {
            let rule = rule(&self.config, request.uri().path());
            RequestInfo {
                rule,
                is_personal: is_personal(&self.config, request.headers()),
                vary: rule.and_then(|_| vary(&self.config)),
                condition: Condition::of(request.headers()),
                is_head,
            }
        });
        // a date is ignored beside a tag (RFC 9110 section 13.1.3); the
        // handler may not know the tag, which this layer may have set
        if info.is_some() && request.headers().contains_key(IF_NONE_MATCH) {
            request.headers_mut().remove(IF_MODIFIED_SINCE);
        }
        if info.is_some() && is_head {
            // its tag is that of the body that GET would send (RFC
            // 9110 section 9.3.2), and it has no ranges (section 14.2)
            *request.method_mut() = Method::GET;
            for name in [RANGE, IF_RANGE] {
                request.headers_mut().remove(name);
            }
        }
        CachedFuture {
            state: State::Answering {
                answer: self.inner.call(request),
            },
            info,
        }
    }
}

/// Parts of the request that are needed for the response.
struct RequestInfo {
    rule: Option<Rule>,
    is_personal: bool,
    vary: Option<HeaderValue>,
    condition: Option<Condition>,
    is_head: bool,
}

pin_project_lite::pin_project! {
    /// Response future of a [`CacheService`].
    pub struct CachedFuture<F, B> {
        #[pin]
        state: State<F, B>,
        info: Option<RequestInfo>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProjection]
    enum State<F, B> {
        Answering { #[pin] answer: F },
        /// The body is read for its tag.
        Reading {
            #[pin] body: B,
            parts: Option<response::Parts>,
            read: Vec<u8>,
            trailers: Option<HeaderMap>,
        },
    }
}

impl<F, B, E> Future for CachedFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<CachedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Answering { answer } => {
                    let response = ready!(answer.poll(context))?;
                    let Some(info) = this.info.as_ref() else {
                        return Poll::Ready(Ok(response.map(CachedBody::untouched)));
                    };
                    let (mut parts, body) = response.into_parts();
                    prepare(&mut parts, info);
                    if info.is_head {
                        keep_length(&mut parts, &body);
                    }
                    if !wants_tag(&parts, &body) {
                        return Poll::Ready(Ok(finish(parts, CachedBody::untouched(body), info)));
                    }
                    this.state.set(State::Reading {
                        body,
                        parts: Some(parts),
                        read: Vec::new(),
                        trailers: None,
                    });
                }
                StateProjection::Reading {
                    mut body,
                    parts,
                    read,
                    trailers,
                } => {
                    while let Some(frame) = ready!(body.as_mut().poll_frame(context)) {
                        match frame.map(http_body::Frame::into_data) {
                            Ok(Ok(data)) => read.extend_from_slice(&data),
                            // trailers of a proxied response, for example over HTTP/2
                            Ok(Err(frame)) => *trailers = frame.into_trailers().ok(),
                            Err(_) => return Poll::Ready(Ok(broken(parts.take()))),
                        }
                    }
                    let (Some(mut parts), Some(info)) = (parts.take(), this.info.as_ref()) else {
                        return Poll::Ready(Ok(broken(None)));
                    };
                    let bytes = Bytes::from(std::mem::take(read));
                    tag(&mut parts.headers, &bytes);
                    let body = CachedBody::whole(bytes, trailers.take());
                    return Poll::Ready(Ok(finish(parts, body, info)));
                }
            }
        }
    }
}

/// Sets `Cache-Control` and `Vary`, unless the handler did. A 304 from the handler gets those of the 200 (section
/// 15.4.5), and so does a 206 (section 15.3.7).
fn prepare(parts: &mut response::Parts, info: &RequestInfo) {
    let headers = &mut parts.headers;
    let is_error = parts.status.is_client_error() || parts.status.is_server_error();
    let is_stored = matches!(
        parts.status,
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
    );
    let no_store = HeaderValue::from_static("no-store");
    if headers.contains_key(CACHE_CONTROL) {
        return;
    }
    // without `Cache-Control`, a cache may store a 301 or 308 too (RFC 9110 section 15.1), and it adds
    // the headers of a 304 to the response that it serves to everyone (RFC 9111 section 3.2)
    if is_error || headers.contains_key(SET_COOKIE) {
        headers.insert(CACHE_CONTROL, no_store);
    } else if let (Some(rule), true) = (info.rule, is_stored)
        && let Some(control) = control(rule, info.is_personal, parts.status, headers)
    {
        if !control.is_empty() {
            headers.insert(CACHE_CONTROL, control);
        }
        if let Some(vary) = &info.vary {
            headers.append(VARY, vary.clone());
        }
    }
}

/// Sets the length of the GET response on a response to HEAD, which has no body.
fn keep_length<B: Body>(parts: &mut response::Parts, body: &B) {
    let has_length = [CONTENT_LENGTH, TRANSFER_ENCODING]
        .iter()
        .any(|name| parts.headers.contains_key(name));
    // it would be the length of a 200, which these statuses do not have (RFC 9110 section 8.6)
    let has_body = !parts.status.is_informational()
        && ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status);
    if let (true, false, Some(length)) = (has_body, has_length, body.size_hint().exact()) {
        parts
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Returns `true` if the body is read for its tag: only if its length is known, so never for a stream.
fn wants_tag<B: Body>(parts: &response::Parts, body: &B) -> bool {
    let headers = &parts.headers;
    let length = body.size_hint().exact();
    parts.status == StatusCode::OK
        && length.is_some_and(|length| (1..=MAX_TAGGED_BYTES).contains(&length))
        && ![ETAG, CONTENT_RANGE, TRANSFER_ENCODING]
            .iter()
            .any(|name| headers.contains_key(name))
        && !is_event_stream(headers)
        && !forbids_storing(headers)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE);
    media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

fn forbids_storing(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|line| {
        let line = line.as_bytes().to_ascii_lowercase();
        line.windows(8).any(|part| part == b"no-store")
    })
}

/// Sets the tag: a weak one, since a proxy may compress the body (section 8.8.1).
fn tag(headers: &mut HeaderMap, body: &[u8]) {
    if let Ok(value) = HeaderValue::from_str(&compute_etag(body)) {
        headers.insert(ETAG, value);
    }
}

/// Returns the response, or a 304 if the client has it already.
fn finish<B>(
    mut parts: response::Parts,
    body: CachedBody<B>,
    info: &RequestInfo,
) -> Response<CachedBody<B>> {
    let body = match info.is_head {
        true => CachedBody::head(),
        false => body,
    };
    let etag = parts.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    // the condition is evaluated before a range (section 13.2.2)
    let is_whole_or_part = [StatusCode::OK, StatusCode::PARTIAL_CONTENT].contains(&parts.status);
    // without a condition there is nothing that a 304 could save
    let (Some(etag), Some(condition), true) = (etag, &info.condition, is_whole_or_part) else {
        return Response::from_parts(parts, body);
    };
    let current = condition.matches(etag);
    if current {
        http_stats::count_hit();
    } else {
        http_stats::count_miss();
    }
    if !current {
        return Response::from_parts(parts, body);
    }
    for name in [
        CONTENT_LENGTH,
        CONTENT_TYPE,
        CONTENT_ENCODING,
        CONTENT_RANGE,
    ] {
        parts.headers.remove(name);
    }
    parts.status = StatusCode::NOT_MODIFIED;
    let body = match info.is_head {
        true => body,
        false => CachedBody::empty(),
    };
    Response::from_parts(parts, body)
}

/// Returns an empty 500, since the handler's body failed before
/// its first byte was sent: better than a partial response.
fn broken<B>(parts: Option<response::Parts>) -> Response<CachedBody<B>> {
    let mut response = Response::new(CachedBody::empty());
    if let Some(parts) = parts {
        *response.version_mut() = parts.version;
    }
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}
