use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use parking_lot::{Condvar, Mutex};
use prost::Message;

use super::request::Head;
#[cfg(feature = "otlp-logs")]
use super::{ReceivedLog, received_logs};
#[cfg(feature = "otlp-metrics")]
use super::{ReceivedPoint, received_points};
use super::{ReceivedSpan, received, snapshot};

/// Response of a [`Collector`] to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Accepts all spans.
    Accept,
    /// Accepts all spans, after this time.
    AcceptAfter(Duration),
    /// Accepts all but this number of spans, with a message.
    PartialSuccess(u64, String),
    /// Responds with this status, and accepts no span.
    Status(u16),
    /// Responds with this status and a `Retry-After` of this number of seconds, and accepts no span.
    StatusRetryAfter(u16, u32),
    /// Sends these bytes, head and body, accepts no span, and closes the connection.
    Raw(String),
    /// Reads the request and never responds.
    Hang,
    /// Closes the connection in the middle of the request, so that the peer gets a connection reset.
    Reset,
}

/// Paths of the supported signals.
const PATHS: &[&str] = &[
    "/v1/traces",
    #[cfg(feature = "otlp-logs")]
    "/v1/logs",
    #[cfg(feature = "otlp-metrics")]
    "/v1/metrics",
];

/// An OTLP/HTTP collector in this process, on a free port of the loopback address. It ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    answer: Option<Answer>,
    /// Responses to single requests, which precede `answer`.
    next: VecDeque<Answer>,
    spans: Vec<ReceivedSpan>,
    #[cfg(feature = "otlp-logs")]
    logs: Vec<ReceivedLog>,
    #[cfg(feature = "otlp-metrics")]
    points: Vec<ReceivedPoint>,
    requests: Vec<Vec<(String, String)>>,
    stopped: bool,
}

impl Collector {
    /// Starts to listen; accepts all spans until [`answer`](Self::answer) is called.
    ///
    /// # Errors
    /// Fails if no port can be bound.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let for_thread = Arc::clone(&state);
        std::thread::Builder::new()
            .name("test-collector".to_owned())
            .spawn(move || accept(&listener, &for_thread))?;
        Ok(Self { address, state })
    }

    /// Returns the URL for [`Config::endpoint`](crate::Config::endpoint).
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the response to all requests from now on.
    pub fn answer(&self, answer: Answer) {
        self.state.inner.lock().answer = Some(answer);
    }

    /// Sets the response to one more request: each call applies to the next request without such a response. Later
    /// requests get the response set by [`answer`](Self::answer).
    pub fn answer_next(&self, answer: Answer) {
        self.state.inner.lock().next.push_back(answer);
    }

    /// Returns all accepted spans so far.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.state.inner.lock().spans.clone()
    }

    /// Returns all accepted log records so far.
    #[cfg(feature = "otlp-logs")]
    pub fn logs(&self) -> Vec<ReceivedLog> {
        self.state.inner.lock().logs.clone()
    }

    /// Waits until this number of log records was accepted; returns `false` on timeout.
    #[cfg(feature = "otlp-logs")]
    pub fn wait_for_logs(&self, logs: usize, at_most: Duration) -> bool {
        self.wait(at_most, |inner| inner.logs.len() >= logs)
    }

    /// Returns all accepted data points of metrics so far.
    #[cfg(feature = "otlp-metrics")]
    pub fn points(&self) -> Vec<ReceivedPoint> {
        self.state.inner.lock().points.clone()
    }

    /// Returns all accepted spans so far, and removes them.
    pub fn take_spans(&self) -> Vec<ReceivedSpan> {
        std::mem::take(&mut self.state.inner.lock().spans)
    }

    /// Removes everything received so far.
    pub fn forget(&self) {
        let mut inner = self.state.inner.lock();
        let (answer, next) = (inner.answer.take(), std::mem::take(&mut inner.next));
        *inner = Inner {
            answer,
            next,
            stopped: inner.stopped,
            ..Inner::default()
        };
    }

    /// Returns the number of requests so far, whatever the response.
    pub fn requests(&self) -> usize {
        self.state.inner.lock().requests.len()
    }

    /// Returns the headers of the last request, names in lower case.
    pub fn last_headers(&self) -> Vec<(String, String)> {
        let inner = self.state.inner.lock();
        inner.requests.last().cloned().unwrap_or_default()
    }

    /// Renders all accepted spans so far as text: one line each, children below their parent, without ids and times.
    pub fn snapshot(&self) -> String {
        snapshot::render(&self.spans())
    }

    /// Waits until this number of spans was accepted; returns `false` on timeout.
    pub fn wait_for_spans(&self, spans: usize, at_most: Duration) -> bool {
        self.wait(at_most, |inner| inner.spans.len() >= spans)
    }

    /// Waits until this number of requests arrived; returns `false` on timeout.
    pub fn wait_for_requests(&self, requests: usize, at_most: Duration) -> bool {
        self.wait(at_most, |inner| inner.requests.len() >= requests)
    }

    fn wait(&self, at_most: Duration, reached: impl Fn(&Inner) -> bool) -> bool {
        let until = Instant::now() + at_most;
        let mut inner = self.state.inner.lock();
        while !reached(&inner) {
            let timeout = self.state.changed.wait_until(&mut inner, until);
            if timeout.timed_out() {
                return reached(&inner);
            }
        }
        true
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.state.inner.lock().stopped = true;
        self.state.changed.notify_all();
        // wakes the accepting thread; a failure means that the thread has ended
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.inner.lock().stopped {
            return;
        }
        if let Ok(stream) = stream {
            let state = Arc::clone(state);
            std::thread::spawn(move || {
                // a broken connection concerns only the peer
                let _ = serve(stream, &state);
            });
        }
    }
}

fn serve(stream: TcpStream, state: &State) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(head) = Head::read(&mut stream)? {
        let answer = state.arrived(&head);
        if answer == Answer::Reset {
            // dropped with bytes unread, the kernel resets the connection
            return Ok(());
        }
        let body = head.body(&mut stream)?;
        let reply = match answer {
            Answer::Hang => {
                drop(body); // a test may count allocated memory
                state.wait_for_end();
                return Ok(());
            }
            Answer::Raw(bytes) => {
                drop(body);
                return stream.get_mut().write_all(bytes.as_bytes());
            }
            _ if !PATHS.contains(&&*head.path) => head_of(404, None, 0),
            Answer::Status(status) => head_of(status, None, 0),
            Answer::StatusRetryAfter(status, seconds) => head_of(status, Some(seconds), 0),
            Answer::AcceptAfter(delay) => {
                std::thread::sleep(delay);
                state.take(&head.path, &body, 0, String::new())?
            }
            Answer::PartialSuccess(rejected, why) => {
                state.take(&head.path, &body, rejected, why)?
            }
            Answer::Accept | Answer::Reset => state.take(&head.path, &body, 0, String::new())?,
        };
        stream.get_mut().write_all(&reply)?;
    }
    Ok(())
}

impl State {
    fn arrived(&self, head: &Head) -> Answer {
        let mut inner = self.inner.lock();
        inner.requests.push(head.headers.clone());
        self.changed.notify_all();
        let next = inner.next.pop_front().or_else(|| inner.answer.clone());
        next.unwrap_or(Answer::Accept)
    }

    fn wait_for_end(&self) {
        let mut inner = self.inner.lock();
        while !inner.stopped {
            self.changed.wait(&mut inner);
        }
    }

    /// Stores all items except the last `rejected` ones, and returns the response.
    fn take(
        &self,
        path: &str,
        body: &[u8],
        rejected: u64,
        error_message: String,
    ) -> io::Result<Vec<u8>> {
        let refused = usize::try_from(rejected).unwrap_or(usize::MAX);
        if self.keep(path, body, refused).is_err() {
            return Ok(head_of(400, None, 0));
        }
        let has_partial = rejected > 0 || !error_message.is_empty();
        let partial_success = has_partial.then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(rejected).unwrap_or(i64::MAX),
            error_message,
        });
        let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        let mut reply = head_of(200, None, body.len());
        reply.extend(body);
        self.changed.notify_all();
        Ok(reply)
    }

    fn keep(&self, path: &str, body: &[u8], refused: usize) -> Result<(), prost::DecodeError> {
        match path {
            #[cfg(feature = "otlp-logs")]
            "/v1/logs" => {
                let logs = kept(received_logs::of(body)?, refused);
                self.inner.lock().logs.extend(logs);
            }
            #[cfg(feature = "otlp-metrics")]
            "/v1/metrics" => {
                let points = kept(received_points::of(body)?, refused);
                self.inner.lock().points.extend(points);
            }
            _ => {
                let spans = received::spans(ExportTraceServiceRequest::decode(body)?);
                self.inner.lock().spans.extend(kept(spans, refused));
            }
        }
        Ok(())
    }
}

fn kept<T>(mut items: Vec<T>, refused: usize) -> Vec<T> {
    items.truncate(items.len().saturating_sub(refused));
    items
}

fn head_of(status: u16, retry_after: Option<u32>, length: usize) -> Vec<u8> {
    let retry_after = retry_after.map_or_else(String::new, |s| format!("retry-after: {s}\r\n"));
    format!(
        "HTTP/1.1 {status} test\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {length}\r\n{retry_after}\r\n"
    )
    .into_bytes()
}
