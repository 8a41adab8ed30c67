//! Implements the HTTP client of `object_store` with `ureq`.

use std::io;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

/// Maximum length of a body that is read or written.
pub(super) const MAX_BODY_BYTES: u64 = 256 << 20;
/// Timeout for resolving a name, and for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout for the head of a response.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Creates clients whose requests end at the deadline.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) deadline: Instant,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(HEAD_TIMEOUT))
            .build();
        Ok(HttpClient::new(Client {
            agent: config.into(),
            deadline: self.deadline,
        }))
    }
}

/// HTTP client that blocks its thread, which has nothing else to do.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    deadline: Instant,
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failure(ureq::Error::Timeout(ureq::Timeout::Global)));
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let request = http::Request::from_parts(parts, &body[..]);
        let request = self.agent.configure_request(request);
        let request = request.timeout_global(Some(left)).build();
        let answer = self.agent.run(request).map_err(failure)?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(MAX_BODY_BYTES);
        let body = Bytes::from(body.read_to_vec().map_err(failure)?);
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

fn failure(error: ureq::Error) -> HttpError {
    use HttpErrorKind as Kind;
    let kind = match &error {
        ureq::Error::Timeout(_) => Kind::Timeout,
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => Kind::Connect,
        ureq::Error::Io(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => Kind::Connect,
        ureq::Error::Io(_) | ureq::Error::Protocol(_) => Kind::Interrupted,
        _ => Kind::Unknown,
    };
    HttpError::new(kind, error)
}
