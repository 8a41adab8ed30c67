use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use parking_lot::Mutex;
use ureq::Body;

use crate::config::otlp::Otlp;
use crate::config::tls;
use crate::export::breaker::MAX_RETRY_AFTER;
use crate::export::closing::Closing;
use crate::export::reason::Reasons;
use crate::export::reply::{FailedExport, Reply};
use crate::export::response::{self, PROTOBUF};
use crate::limits::cut;
use crate::stats::FailureKind;

const MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;
/// Maximum time between the head of a response and the end of its body, which a collector sends together.
const BODY_WAIT: Duration = Duration::from_secs(2);
/// Maximum bytes of a collector's header in a log line.
const MAX_HEADER_BYTES: usize = 100;
/// Share of the time of an attempt after which a host that is not resolved, or a connection that is not made, fails it.
const STEP_SHARE: f32 = 0.75;
/// Start of the standard library's error about a host that cannot be resolved.
const LOOKUP_FAILED: &str = "failed to lookup address information";
const RETRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// HTTP client of the export thread: blocking, without a runtime or redirects.
///
/// A retry waits no longer than a shutdown allows.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    timeout: Duration,
    closing: Arc<Closing>,
    reasons: Reasons,
    is_proxied: bool,
    /// Read by the exporter after each batch.
    reply: Arc<Mutex<Reply>>,
}

struct Failure {
    kind: FailureKind,
    detail: String,
    /// Appended to the detail and the collector's reason.
    hint: &'static str,
    /// Response with the reason. It is read only if no further attempt follows, which reading would delay.
    refusal: Option<Box<Response<Body>>>,
    status: Option<u16>,
    retry: Retry,
    /// True if the collector responded that it has the batch, but the rest of the response could not be read.
    is_received: bool,
}

/// Time of the next attempt, if a retry makes sense.
#[derive(Clone, Copy)]
enum Retry {
    Never,
    Soon,
    /// After the time that the collector asked for.
    After(Duration),
}

impl Client {
    pub(crate) fn new(settings: &Otlp, closing: Arc<Closing>, reply: Arc<Mutex<Reply>>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false);
        Self {
            agent: settings.tls.configure(config).build().into(),
            timeout: settings.timeout,
            closing,
            reasons: Reasons::new(&settings.headers),
            is_proxied: settings.tls.is_proxied(),
            reply,
        }
    }

    /// Sends a batch, with retries, within the timeout and the budget of a shutdown.
    ///
    /// # Errors
    /// Fails if the collector did not accept the batch; the reply has the details.
    pub(crate) fn post(&self, request: Request<&[u8]>) -> Result<(), String> {
        let (parts, body) = request.into_parts();
        let deadline = Instant::now()
            + self
                .closing
                .remaining_budget()
                .unwrap_or(self.timeout)
                .min(self.timeout);
        let (mut attempt, mut pause) = (0, FIRST_PAUSE);
        let mut left = self.time_left(deadline);
        loop {
            let request = Request::from_parts(parts.clone(), body);
            let failure = match self.attempt(request, left) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            attempt += 1;
            let wait = match failure.retry {
                Retry::Never => None,
                Retry::Soon => Some(pause),
                Retry::After(asked) => Some(asked.min(MAX_RETRY_AFTER).max(pause)),
            };
            match wait.filter(|wait| attempt <= RETRIES && Instant::now() + *wait < deadline) {
                // a shutdown does not wait until a collector is started
                Some(_) if failure.kind == FailureKind::Refused && self.closing.is_closing() => {
                    return Err(self.give_up(failure));
                }
                Some(wait) if self.closing.pause(wait) => pause *= 2,
                _ => return Err(self.give_up(failure)),
            }
            left = self.time_left(deadline);
            // the machine paused: an attempt without time would hide why the last one failed
            if left.is_zero() {
                return Err(self.give_up(failure));
            }
        }
    }

    fn time_left(&self, deadline: Instant) -> Duration {
        let left = deadline.saturating_duration_since(Instant::now());
        let budget = self.closing.remaining_budget();
        budget.map_or(left, |budget| left.min(budget))
    }

    fn give_up(&self, failure: Failure) -> String {
        let reason = failure.refusal.and_then(|refusal| {
            let (parts, mut body) = refusal.into_parts();
            (self.reasons).read(parts.status, &parts.headers, body.as_reader())
        });
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let cause = format!("{}{reason}{}", failure.detail, failure.hint);
        self.reply.lock().failure = Some(FailedExport {
            kind: failure.kind,
            cause: cause.clone(),
            status: failure.status,
            is_received: failure.is_received,
            retry_after: match failure.retry {
                Retry::After(asked) => Some(asked),
                Retry::Never | Retry::Soon => None,
            },
        });
        cause
    }

    fn attempt(&self, request: Request<&[u8]>, left: Duration) -> Result<(), Failure> {
        let timeout = left.max(Duration::from_millis(1));
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(timeout))
            // shorter, so that the error names the step that took the time
            .timeout_resolve(Some(timeout.mul_f32(STEP_SHARE)))
            .timeout_connect(Some(timeout.mul_f32(STEP_SHARE)))
            .timeout_recv_body(Some(BODY_WAIT))
            .build();
        let answer = self.agent.run(request);
        let answer = answer.map_err(|error| self.network(&error, timeout))?;
        if !answer.status().is_success() {
            return Err(refused(answer));
        }
        // from here on the collector has the spans: a retry would duplicate them
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(MAX_RESPONSE_BYTES).read_to_vec();
        let body = body.map_err(|error| self.unread(&error, timeout.min(BODY_WAIT)))?;
        self.read(parts.status, &parts.headers, &body)
    }

    /// Reads the response to an accepted batch. An empty response means success, whatever its type.
    fn read(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
        if body.is_empty() {
            return Ok(());
        }
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let kind = kind.map(|kind| String::from_utf8_lossy(kind));
        let essence = kind.as_deref().and_then(|kind| kind.split(';').next());
        let is_protobuf = essence.is_none_or(|e| e.trim().eq_ignore_ascii_case(PROTOBUF));
        let partial = is_protobuf.then(|| response::read(body));
        let Some(partial) = partial.flatten() else {
            let kind = cut(kind.unwrap_or_default().into_owned(), MAX_HEADER_BYTES);
            return Err(not_otlp(format!(
                "http status {} with content-type `{kind}`",
                status.as_u16()
            )));
        };
        let mut reply = self.reply.lock();
        reply.rejected = partial.rejected.max(0).unsigned_abs();
        reply.message = self.reasons.without_credentials(partial.message);
        Ok(())
    }

    /// Returns the failure for a success response whose body could not be read.
    fn unread(&self, error: &ureq::Error, timeout: Duration) -> Failure {
        match error {
            ureq::Error::BodyExceedsLimit(limit) => not_otlp(format!("more than {limit} bytes")),
            error => Failure {
                retry: Retry::Never,
                is_received: true,
                ..self.network(error, timeout)
            },
        }
    }

    fn network(&self, error: &ureq::Error, timeout: Duration) -> Failure {
        use ureq::Error as E;
        let kind = kind_of(error);
        // an invalid certificate stays invalid: a retry does not help
        let of_tls = match error {
            E::Io(io) if io.kind() == ErrorKind::InvalidData => Some(tls::hint(io)),
            _ => None,
        };
        let detail = match (kind, of_tls) {
            (_, Some(hint)) => format!("{error}{hint}"),
            _ if matches!(error, E::Timeout(ureq::Timeout::Resolve)) => {
                let within = timeout.mul_f32(STEP_SHARE);
                format!("{LOOKUP_FAILED}: no response from the resolver within {within:.1?}")
            }
            (FailureKind::Timeout, _) => format!("no response within {timeout:.1?}"),
            (FailureKind::Refused, _) => {
                let hint = match error {
                    _ if self.is_proxied => "check that the proxy in HTTPS_PROXY is reachable",
                    error if is_unknown_host(error) => "check the host of the endpoint",
                    _ => "check that a collector is listening there",
                };
                format!("cannot connect ({error}): {hint}")
            }
            _ => format!("{error}"),
        };
        let retry = match (kind, error) {
            (FailureKind::Timeout, _) | (_, E::Timeout(_)) => Retry::Never,
            // a response came, so that the collector may have the batch
            (_, E::Protocol(_) | E::LargeResponseHeader(..)) => Retry::Never,
            _ if of_tls.is_some() => Retry::Never,
            _ => Retry::Soon,
        };
        Failure {
            kind,
            detail,
            hint: "",
            refusal: None,
            status: None,
            retry,
            is_received: false,
        }
    }
}

fn kind_of(error: &ureq::Error) -> FailureKind {
    use ureq::Error as E;
    match error {
        // the collector was not asked
        E::Timeout(ureq::Timeout::Resolve) => FailureKind::Other,
        E::Timeout(ureq::Timeout::Connect) | E::ConnectionFailed => FailureKind::Refused,
        E::Timeout(_) => FailureKind::Timeout,
        _ if is_unknown_host(error) => FailureKind::Refused,
        E::Io(io) => match io.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => FailureKind::Timeout,
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable => FailureKind::Refused,
            _ => FailureKind::Other,
        },
        _ => FailureKind::Other,
    }
}

/// Reports whether the host is unknown; the standard library has no
/// error kind for that. A temporary failure of the resolver is not.
fn is_unknown_host(error: &ureq::Error) -> bool {
    /// Texts of glibc and musl for a temporary failure.
    const FOR_A_MOMENT: [&str; 2] = ["Temporary failure", "Try again"];
    match error {
        ureq::Error::HostNotFound => true,
        ureq::Error::Io(io) => {
            let text = io.to_string();
            let rest = text.strip_prefix(LOOKUP_FAILED);
            rest.is_some_and(|rest| FOR_A_MOMENT.iter().all(|words| !rest.contains(words)))
        }
        _ => false,
    }
}

fn not_otlp(answer: String) -> Failure {
    Failure {
        kind: FailureKind::Other,
        detail: format!(
            "the response is not OTLP ({answer}): check that the endpoint is a collector"
        ),
        hint: "",
        refusal: None,
        status: None,
        retry: Retry::Never,
        is_received: false,
    }
}

/// Returns the failure for an error response. The OTLP specification, "Failures", defines which statuses are retried.
fn refused(answer: Response<Body>) -> Failure {
    let status = answer.status().as_u16();
    let hint = match status {
        401 | 403 => ": check the credentials in OTEL_EXPORTER_OTLP_HEADERS",
        404 | 405 => ": check the path of the endpoint",
        300..=399 => ": redirects are not followed",
        _ => "",
    };
    let kind = match status {
        400..=499 => FailureKind::Http4xx,
        500..=599 => FailureKind::Http5xx,
        _ => FailureKind::Other,
    };
    let retry = match (status, retry_after(answer.headers())) {
        (429 | 502 | 503 | 504, Some(asked)) => Retry::After(asked),
        (429 | 502 | 503 | 504, None) => Retry::Soon,
        _ => Retry::Never,
    };
    Failure {
        kind,
        detail: format!("http status {status}"),
        hint,
        refusal: Some(Box::new(answer)),
        status: Some(status),
        retry,
        is_received: false,
    }
}

/// Reads `Retry-After` in both forms (RFC 9110, section 10.2.3): seconds, or a date, compared with the collector's
/// `Date` if that is sent. A time in the past is ignored, and the default pause applies.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    pause_asked(headers).filter(|asked| !asked.is_zero())
}

fn pause_asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let value = text(RETRY_AFTER)?;
    if let Some(seconds) = delay_seconds(value) {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let now = now.unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

/// Parses digits only: Rust parses `+30` as a number, but it is
/// not a valid delay. A number too large for `u64` is the maximum.
fn delay_seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Returns a number from 0 to 1, so that many processes do not retry at the same time after a collector recovers.
pub(crate) fn jitter() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.subsec_nanos());
    f64::from(nanos % 1000) / 1000.0
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers a request with 503, and delays the end of the client's pause until its time is up.
    fn refuse_and_delay(
        listener: &TcpListener,
        closing: &Closing,
        timeout: Duration,
    ) -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let accepted = Instant::now();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let held = closing.hold();
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
        while accepted.elapsed() < timeout {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        drop(held);
        Ok(())
    }

    /// Returns the kind and status with which a batch fails that
    /// is refused once, and whose time is up before its next attempt.
    fn failure_within(timeout: Duration) -> (FailureKind, Option<u16>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let client = Client {
            agent: config.proxy(None).build().into(),
            timeout,
            closing: Arc::default(),
            reasons: Reasons::new(&HeaderMap::new()),
            is_proxied: false,
            reply: Arc::default(),
        };
        let request = Request::post(format!("http://{address}"));
        let request = request.body([].as_slice()).unwrap();
        std::thread::scope(|scope| {
            let server = scope.spawn(|| refuse_and_delay(&listener, &client.closing, timeout));
            client.post(request).unwrap_err();
            // ends the server if the client came too late for it
            drop(TcpStream::connect(address));
            let _ = server.join().unwrap();
        });
        let failure = client.reply.lock().failure.take().unwrap();
        (failure.kind, failure.status)
    }

    #[test]
    fn no_attempt_begins_after_the_time_is_up_and_the_last_failure_is_reported() {
        // a busy machine may exceed a short time before the answer is read
        let mut timeouts = [500, 2_000, 8_000, 16_000]
            .map(Duration::from_millis)
            .into_iter();
        let expected = (FailureKind::Http5xx, Some(503));
        assert!(timeouts.any(|timeout| failure_within(timeout) == expected));
    }

    #[test]
    fn a_resolver_or_a_network_that_does_not_answer_is_no_collector_that_hangs() {
        use ureq::Timeout::{Connect, Global, RecvResponse, Resolve};
        let kind = |step| kind_of(&ureq::Error::Timeout(step));
        assert_eq!(kind(Resolve), FailureKind::Other);
        assert_eq!(kind(Connect), FailureKind::Refused);
        assert_eq!(kind(RecvResponse), FailureKind::Timeout);
        assert_eq!(kind(Global), FailureKind::Timeout);
    }

    #[test]
    fn a_resolver_that_does_not_answer_for_a_moment_makes_no_host_unknown() {
        let is_unknown = |cause: &str| {
            let text = format!("failed to lookup address information: {cause}");
            is_unknown_host(&ureq::Error::Io(std::io::Error::other(text)))
        };
        assert!(is_unknown("Name or service not known"));
        assert!(is_unknown("Name does not resolve"));
        assert!(!is_unknown("Temporary failure in name resolution"));
        assert!(!is_unknown("Try again"));
        assert!(!is_unknown_host(&ureq::Error::ConnectionFailed));
    }
}
