use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::export::state::ExportState;
use crate::stats::FailureKind;

const MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;
const RETRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Posts on the export thread: blocking, without a runtime, proxies or redirects.
///
/// Retries are its own, because those of the exporter sleep without hearing of a shutdown and log each time.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    timeout: Duration,
    state: Arc<ExportState>,
}

struct Failure {
    kind: FailureKind,
    detail: String,
    /// How long to wait before another attempt, if one makes sense.
    retry: Option<Option<Duration>>,
}

impl Client {
    pub(crate) fn new(timeout: Duration, state: Arc<ExportState>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build();
        Self {
            agent: config.into(),
            timeout,
            state,
        }
    }

    /// The spans' way out, with retries, inside of the timeout and of the shutdown's budget.
    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let deadline = Instant::now()
            + self
                .state
                .remaining_budget()
                .unwrap_or(self.timeout)
                .min(self.timeout);
        let (mut attempt, mut pause) = (0, FIRST_PAUSE);
        loop {
            let request = Request::from_parts(parts.clone(), &*body);
            let failure = match self.attempt(request, deadline) {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            attempt += 1;
            let wait = failure.retry.map(|asked| asked.unwrap_or(pause).max(pause));
            match wait.filter(|wait| attempt <= RETRIES && Instant::now() + *wait < deadline) {
                Some(wait) if self.state.pause(wait) => pause *= 2,
                _ => {
                    let error = failure.detail.clone().into();
                    self.state.reply.lock().failure = Some((failure.kind, failure.detail));
                    return Err(error);
                }
            }
        }
    }

    fn attempt(
        &self,
        request: Request<&[u8]>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, Failure> {
        let left = self.state.remaining_budget().unwrap_or(Duration::MAX);
        let timeout = deadline.saturating_duration_since(Instant::now()).min(left);
        let timeout = timeout.max(Duration::from_millis(1));
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(timeout))
            .build();
        let answer = self.agent.run(request).and_then(|answer| {
            let (parts, mut body) = answer.into_parts();
            let body = body.with_config().limit(MAX_RESPONSE_BYTES).read_to_vec()?;
            Ok((parts, body))
        });
        let (parts, body) = answer.map_err(|error| network(&error, timeout))?;
        if !parts.status.is_success() {
            return Err(refusal(parts.status, &parts.headers));
        }
        self.read(&body);
        // the exporter would log each partial success; it is counted here instead
        Ok(Response::from_parts(parts, Bytes::new()))
    }

    fn read(&self, body: &[u8]) {
        let reply = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        if let Some(partial) = reply.partial_success {
            let mut reply = self.state.reply.lock();
            reply.rejected = partial.rejected_spans.max(0).unsigned_abs();
            reply.message = partial.error_message;
        }
    }
}

fn network(error: &ureq::Error, timeout: Duration) -> Failure {
    use ureq::Error as E;
    let kind = match error {
        E::Timeout(_) => FailureKind::Timeout,
        E::ConnectionFailed | E::HostNotFound => FailureKind::Refused,
        E::Io(io) => match io.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => FailureKind::Timeout,
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable => FailureKind::Refused,
            _ => FailureKind::Other,
        },
        _ => FailureKind::Other,
    };
    let detail = match kind {
        FailureKind::Timeout => format!("no answer within {timeout:.1?}"),
        FailureKind::Refused => format!("no connection ({error}): does a collector listen there?"),
        _ => format!("{error}"),
    };
    let retry = (kind != FailureKind::Timeout).then_some(None);
    Failure {
        kind,
        detail,
        retry,
    }
}

/// Which of these are worth a retry is the OTLP specification's, "Failures".
fn refusal(status: StatusCode, headers: &HeaderMap) -> Failure {
    let hint = match status.as_u16() {
        401 | 403 => ": are the credentials in OTEL_EXPORTER_OTLP_HEADERS right?",
        404 | 405 => ": is the path of the endpoint right?",
        300..=399 => ": redirects are not followed",
        _ => "",
    };
    let kind = match status.as_u16() {
        400..=499 => FailureKind::Http4xx,
        500..=599 => FailureKind::Http5xx,
        _ => FailureKind::Other,
    };
    let retry = matches!(status.as_u16(), 429 | 502 | 503 | 504).then(|| retry_after(headers));
    Failure {
        kind,
        detail: format!("http status {}{hint}", status.as_u16()),
        retry,
    }
}

/// In seconds; a date is not understood, and taken as if the header were not there.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// 0 to 1, so that many processes do not ask a collector that comes back all at once.
pub(crate) fn jitter() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.subsec_nanos());
    f64::from(nanos % 1000) / 1000.0
}

impl HttpClient for Client {
    // what #[async_trait] makes of `async fn send_bytes`
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(std::future::ready(self.post(request)))
    }
}
