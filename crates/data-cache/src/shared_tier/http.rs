//! The HTTP client of the other crates as the one of `object_store`.

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

/// Part of the limit of a lookup in which the head of an answer to a read is there, 900 ms: two tries fit into it.
const READ: f64 = 0.45;
/// Time for the whole of a try to write, as a multiple of it: 5 s.
const WRITE: f64 = 2.5;
/// Bytes of an object from which on its time is up to the network between, and says nothing about the store.
const LARGE: u64 = 1 << 20;

/// An object is too large for the time that it has.
#[derive(Debug)]
struct TooLarge(u64, ureq::Error);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes, error) = self;
        write!(f, "an object of {bytes} bytes: {error}")
    }
}

impl Error for TooLarge {}

/// Returns `true` if the store answers, but an object was too large for its time.
pub(super) fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source())
        .any(|error| error.is::<TooLarge>())
}

/// Makes clients for a store that a lookup waits for this long.
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

/// Blocks: it runs on threads of the tier, each with a runtime that has nothing else to do.
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
        // the declared length is all that is asked of an object that is too large
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

/// The failure of a try with a body of this length.
fn failure(error: ureq::Error, bytes: u64) -> HttpError {
    use ureq::Error as E;
    if bytes >= LARGE && matches!(error, E::Timeout(_)) {
        // a kind that is not tried again
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
