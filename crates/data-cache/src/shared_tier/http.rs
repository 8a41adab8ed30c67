//! The HTTP client of the other crates as the one of `object_store`.

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

/// Time for the head of an answer to a read: two tries fit into the limit of a lookup.
const READ: Duration = Duration::from_millis(900);
/// Time for the whole of a try to write.
const WRITE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        Ok(HttpClient::new(Client(config.into())))
    }
}

/// Blocks: it runs on threads of the tier, each with a runtime that has nothing else to do.
#[derive(Debug)]
struct Client(ureq::Agent);

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let request = self
            .0
            .configure_request(http::Request::from_parts(parts, &body[..]));
        let request = match is_read {
            true => request
                .timeout_resolve(Some(READ))
                .timeout_connect(Some(READ))
                .timeout_recv_response(Some(READ))
                .timeout_global(Some(2 * READ)),
            false => request.timeout_global(Some(WRITE)),
        };
        let answer = self.0.run(request.build()).map_err(failure)?;
        let (parts, mut body) = answer.into_parts();
        // the declared length is all that is asked of an object that is too large
        let is_too_large = body.content_length().is_some_and(|n| n > MAX_OBJECT_BYTES);
        let bytes = match is_too_large {
            true => Vec::new(),
            false => body
                .with_config()
                .limit(MAX_OBJECT_BYTES)
                .read_to_vec()
                .map_err(failure)?,
        };
        Ok(HttpResponse::from_parts(parts, Bytes::from(bytes).into()))
    }
}

fn failure(error: ureq::Error) -> HttpError {
    use ureq::Error as E;
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
