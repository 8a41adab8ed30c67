//! Adapter of the HTTP client of the other crates, `ureq`, for `object_store`.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use super::store::MAX_OBJECT_BYTES;

/// Fraction of a lookup's time limit in which the response head of a read must arrive: 900 ms, so that two tries fit.
const READ: f64 = 0.45;
/// Time limit for one try to write, as a multiple of a lookup's time limit: 5 s.
const WRITE: f64 = 2.5;
/// Minimum size in bytes of an object whose timeout is attributed to the network, not to the store.
const LARGE: u64 = 1 << 20;

/// The object cannot be transferred within its timeout.
#[derive(Debug)]
struct TooLarge(u64, ureq::Error);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes, error) = self;
        write!(f, "an object of {bytes} bytes: {error}")
    }
}

impl Error for TooLarge {}

/// Returns `true` if the store responds, but an object could not be transferred within its timeout.
pub(super) fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source())
        .any(|error| error.is::<TooLarge>())
}

/// Creates clients for a store; holds the time limit of a lookup.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Duration);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        Ok(HttpClient::new(Client {
            agent: config.into(),
            read: self.0.mul_f64(READ),
            write: self.0.mul_f64(WRITE),
        }))
    }
}

/// A blocking client. It runs on threads of the tier, each with a runtime that has no other work.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    read: Duration,
    write: Duration,
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let sent = body.len() as u64;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let request = self
            .agent
            .configure_request(http::Request::from_parts(parts, &body[..]));
        let request = match is_read {
            true => request
                .timeout_resolve(Some(self.read))
                .timeout_connect(Some(self.read))
                .timeout_recv_response(Some(self.read))
                .timeout_global(Some(2 * self.read)),
            false => request.timeout_global(Some(self.write)),
        };
        let answer = self
            .agent
            .run(request.build())
            .map_err(|error| failure(error, sent))?;
        let (parts, mut body) = answer.into_parts();
        // of an object that is too large, only the declared length is needed
        let length = body.content_length().unwrap_or(0);
        let is_too_large = length > MAX_OBJECT_BYTES;
        let bytes = match is_too_large {
            true => Vec::new(),
            false => body
                .with_config()
                .limit(MAX_OBJECT_BYTES)
                .read_to_vec()
                .map_err(|error| failure(error, length))?,
        };
        Ok(HttpResponse::from_parts(parts, Bytes::from(bytes).into()))
    }
}

/// Converts the failure of a try with a body of this length.
fn failure(error: ureq::Error, bytes: u64) -> HttpError {
    use ureq::Error as E;
    if bytes >= LARGE && matches!(error, E::Timeout(_)) {
        // a kind that is not retried
        return HttpError::new(HttpErrorKind::Unknown, TooLarge(bytes, error));
    }
    let kind = match &error {
        E::Timeout(_) => HttpErrorKind::Timeout,
        E::ConnectionFailed | E::HostNotFound => HttpErrorKind::Connect,
        E::Io(io) => match io.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => HttpErrorKind::Timeout,
            io::ErrorKind::ConnectionRefused => HttpErrorKind::Connect,
            _ => HttpErrorKind::Interrupted,
        },
        E::BodyExceedsLimit(_) => HttpErrorKind::Decode,
        E::Protocol(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}
