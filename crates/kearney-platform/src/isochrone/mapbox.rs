//! Mapbox's Isochrone API, v1: `GET /isochrone/v1/mapbox/{profile}/{lon},{lat}?contours_minutes=&polygons=true`.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::Uri;
use ops_layer::metrics::Label;
use ops_layer::secrets::Secret;
use ops_layer::trace::{SpanKind, span};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::breaker::Breaker;
use super::{Failure, Question};
use crate::domain_metrics::{self, IsochroneStatus as Status, Mode, Provider};

/// Time limit of one call, and of all calls for one question.
const CALL_MAX: Duration = Duration::from_secs(4);
const QUESTION_MAX: Duration = Duration::from_secs(10);
/// Maximum number of attempts for one question, and the pause after the first one, which doubles.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// Maximum number of concurrent questions; further ones wait, for at most the time below.
const QUESTIONS_MAX: usize = 16;
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Upper limit of a provider's `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Maximum size of a response; a contour has at most some 100 KiB.
const BODY_MAX: u64 = 2 * 1024 * 1024;

/// Address of the API: `https`, or `http` on this machine, since the token is sent there.
#[derive(Clone, Debug)]
pub struct BaseUrl {
    text: String,
    host: String,
}

/// Reason why a text is not a [`BaseUrl`].
#[derive(Debug)]
pub struct BadBaseUrl;

impl FromStr for BaseUrl {
    type Err = BadBaseUrl;

    fn from_str(text: &str) -> Result<Self, BadBaseUrl> {
        let uri: Uri = text.parse().map_err(|_| BadBaseUrl)?;
        let host = uri.host().ok_or(BadBaseUrl)?.to_owned();
        let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
        let is_safe = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_here,
            _ => false,
        };
        let is_bare = uri.query().is_none() && !text.contains('@');
        (is_safe && is_bare)
            .then(|| Self {
                text: text.trim_end_matches('/').to_owned(),
                host,
            })
            .ok_or(BadBaseUrl)
    }
}

impl fmt::Display for BadBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected https://HOST, or http:// for this machine, without credentials or a query",
        )
    }
}

impl std::error::Error for BadBaseUrl {}

/// Permit to ask one question.
type Permit = Arc<OwnedSemaphorePermit>;

/// Client of the API.
#[derive(Debug)]
pub struct Mapbox {
    base: BaseUrl,
    agent: ureq::Agent,
    breaker: Breaker,
    questions: Arc<Semaphore>,
}

impl Mapbox {
    pub fn new(base: BaseUrl) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // the token is sent to this host only
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(CALL_MAX))
            .build();
        Self {
            base,
            agent: config.into(),
            breaker: Breaker::default(),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        }
    }

    /// Returns the geometry of the area. Transient failures are retried while there is time.
    pub async fn ask(&self, question: &Question, token: &Secret) -> Result<Value, Failure> {
        let until = Instant::now() + QUESTION_MAX;
        let permit = self.permit(question.mode).await?;
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.call_once(question, token, &permit).await {
                Err(failure) if failure.is_transient() => {
                    let wait = failure.retry_after.unwrap_or_default().max(pause);
                    if Instant::now() + wait + CALL_MAX > until {
                        return Err(failure);
                    }
                    ops_layer::log::warn!(
                        "isochrone_retries",
                        provider = "mapbox",
                        status = failure.status.text()
                    );
                    tokio::time::sleep(wait).await;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        self.call_once(question, token, &permit).await
    }

    /// Waits for a permit; fails as `busy` after `WAIT_MAX`.
    async fn permit(&self, mode: Mode) -> Result<Permit, Failure> {
        let permit = tokio::time::timeout(WAIT_MAX, self.questions.clone().acquire_owned()).await;
        if let Ok(Ok(permit)) = permit {
            return Ok(Arc::new(permit));
        }
        let mut call = Call::begin(mode);
        call.status = Status::Busy;
        drop(call);
        Err(Failure {
            retry_after: Some(WAIT_MAX),
            ..Status::Busy.into()
        })
    }

    async fn call_once(
        &self,
        question: &Question,
        token: &Secret,
        permit: &Permit,
    ) -> Result<Value, Failure> {
        let mut call = Call::begin(question.mode);
        if let Err(left) = self.breaker.admit(Instant::now()) {
            call.status = Status::CircuitOpen;
            return Err(Failure {
                retry_after: Some(left),
                ..Status::CircuitOpen.into()
            });
        }
        let span = span!(
            kind: SpanKind::Client,
            "GET isochrone",
            http.request.method = "GET",
            server.address = self.base.host.as_str(),
            isochrone.mode = question.mode.text(),
            isochrone.minutes = i64::from(question.minutes)
        );
        let url = url(&self.base, question, token.expose());
        let outcome = self.fetch(url, permit.clone()).await;
        call.status = match &outcome {
            Ok(_) => Status::Ok,
            Err(failure) => failure.status,
        };
        if !matches!(call.status, Status::Ok | Status::NoArea) {
            span.set_error(call.status.text().to_owned());
        }
        match &outcome {
            Err(Failure {
                retry_after: Some(wait),
                status: Status::RateLimited | Status::ServerError,
                ..
            }) => self.breaker.pause_until(Instant::now() + *wait),
            Err(Failure {
                status: Status::RateLimited,
                ..
            }) => {}
            // a rejection is a response too: other questions may succeed
            Ok(_)
            | Err(Failure {
                status: Status::NoArea | Status::ClientError,
                ..
            }) => {
                self.breaker.succeeded();
            }
            Err(_) => self.breaker.failed(Instant::now()),
        }
        outcome
    }

    /// Sends the request on a thread that may block. The permit is held until the request ends, even if its caller is
    /// dropped.
    async fn fetch(&self, url: String, permit: Permit) -> Result<Value, Failure> {
        let agent = self.agent.clone();
        let fetched = ops_layer::spawn_blocking(move || {
            let _permit = permit;
            fetch(&agent, &url)
        });
        match fetched.await {
            Ok(outcome) => outcome,
            Err(_) => Err(Status::Network.into()),
        }
    }
}

impl Failure {
    /// Returns `true` if a retry may succeed.
    fn is_transient(&self) -> bool {
        matches!(
            self.status,
            Status::RateLimited | Status::ServerError | Status::Timeout | Status::Network
        )
    }
}

fn url(base: &BaseUrl, question: &Question, token: &str) -> String {
    let mut url = format!(
        "{}/isochrone/v1/mapbox/{}/{:.6},{:.6}?contours_minutes={}&polygons=true&access_token=",
        base.text,
        question.mode.text(),
        question.longitude,
        question.latitude,
        question.minutes
    );
    for byte in token.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            _ => {
                // writing to a string does not fail
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url
}

/// Sends one request. Errors of the client contain the address, and so the token: only their kind is kept.
fn fetch(agent: &ureq::Agent, url: &str) -> Result<Value, Failure> {
    let mut response = agent.get(url).call().map_err(|error| kind_of(&error))?;
    let status = response.status().as_u16();
    if status != 200 {
        let wait = response.headers().get("retry-after");
        let wait = wait.and_then(|value| wait_of(value.to_str().ok()?.trim()));
        return Err(Failure {
            status: match status {
                422 => Status::NoArea,
                429 => Status::RateLimited,
                400..=499 => Status::ClientError,
                500..=599 => Status::ServerError,
                _ => Status::InvalidResponse,
            },
            http_status: Some(status),
            retry_after: wait.map(|wait| wait.min(RETRY_AFTER_MAX)),
        });
    }
    let body = response.body_mut().with_config().limit(BODY_MAX);
    let body = body.read_to_vec().map_err(|error| kind_of(&error))?;
    geometry(&body).ok_or_else(|| Status::InvalidResponse.into())
}

/// Parses a `Retry-After`: seconds, or a date (RFC 9110 section 10.2.3).
fn wait_of(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn kind_of(error: &ureq::Error) -> Failure {
    let status = match error {
        ureq::Error::Timeout(_) => Status::Timeout,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Status::Timeout,
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::Protocol(_) => Status::InvalidResponse,
        _ => Status::Network,
    };
    status.into()
}

/// Returns the area of the first feature, if the response has the documented format.
fn geometry(body: &[u8]) -> Option<Value> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let geometry = answer
        .get_mut("features")?
        .get_mut(0)?
        .get_mut("geometry")?
        .take();
    let is_area = matches!(geometry["type"].as_str(), Some("Polygon" | "MultiPolygon"));
    let has_points = geometry["coordinates"][0][0].is_array();
    (answer["type"] == "FeatureCollection" && is_area && has_points).then_some(geometry)
}

/// A call that is counted when it ends, even if its caller is dropped.
struct Call {
    mode: Mode,
    status: Status,
    started: Instant,
}

impl Call {
    fn begin(mode: Mode) -> Self {
        Self {
            mode,
            status: Status::Cancelled,
            started: Instant::now(),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (provider, mode) = (Provider::Mapbox, self.mode);
        domain_metrics::isochrone_requests_total(provider, mode, self.status).inc();
        if !matches!(self.status, Status::CircuitOpen | Status::Busy) {
            let took = self.started.elapsed().as_secs_f64();
            domain_metrics::isochrone_request_latency_seconds(provider, mode).observe(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_over_tls_or_to_this_machine_only() {
        for good in [
            "https://api.mapbox.com",
            "https://proxy.example/mapbox/",
            "http://127.0.0.1:9",
        ] {
            assert!(good.parse::<BaseUrl>().is_ok(), "{good}");
        }
        let bad = [
            "http://api.mapbox.com",
            "ftp://127.0.0.1",
            "https://u:p@h",
            "https://h/?a=b",
            "api.mapbox.com",
            "",
        ];
        for bad in bad {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_response_in_another_format_is_rejected() {
        let sound = br#"{"type":"FeatureCollection","features":[{"geometry":{"type":"Polygon","coordinates":[[[1,2],[3,4],[5,6],[1,2]]]}}]}"#;
        assert!(geometry(sound).is_some());
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"type":"FeatureCollection","features":[]}"#,
            "\"x\"",
        ] {
            assert!(geometry(wrong.as_bytes()).is_none(), "{wrong}");
        }
        let line = String::from_utf8_lossy(sound).replace("Polygon", "LineString");
        assert!(geometry(line.as_bytes()).is_none());
    }
}
