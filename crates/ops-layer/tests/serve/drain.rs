//! SIGTERM under the connections of a load balancer, which opens none once `/readyz`
//! is 503 (it asks every 200 ms), and honors `Connection: close` and GOAWAY.

use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;

use crate::child::LARGE;
use crate::client::get;
use crate::process::{Process, Start};
use crate::wire::{Seen, Wire};

const CONNECTIONS: usize = 32;
const ASKED_EVERY: Duration = Duration::from_millis(200);
/// Pause between two requests of a connection.
const PAUSE: Duration = Duration::from_millis(20);
/// Number of requests that are answered before the signal.
const BEFORE: u64 = 200;

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    Http2,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    /// Does not use hyper, whose client fails a request that is on the
    /// wire if a GOAWAY overtakes its own task (hyperium/hyper#2500).
    Http2 {
        sender: h2::client::SendRequest<Bytes>,
        seen: Arc<Mutex<Seen>>,
        sent: usize,
    },
}

impl Sender {
    async fn connect(protocol: Protocol, address: SocketAddr) -> Option<Self> {
        let stream = tokio::net::TcpStream::connect(address).await.ok()?;
        Some(match protocol {
            Protocol::Http1 => {
                let io = TokioIo::new(stream);
                let (sender, connection) = http1::handshake(io).await.ok()?;
                tokio::spawn(connection);
                Self::Http1(sender)
            }
            Protocol::Http2 => {
                let (wire, seen) = Wire::new(stream);
                let (sender, connection) = h2::client::handshake(wire).await.ok()?;
                tokio::spawn(connection);
                let sent = 0;
                Self::Http2 { sender, seen, sent }
            }
        })
    }

    /// Waits until a request may be sent; `false` once the server asked the client to leave.
    async fn is_open(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2 { sender, .. } => poll_fn(|cx| sender.poll_ready(cx)).await.is_ok(),
        }
    }

    /// Returns whether the last request stayed in this client, or left it after the server's GOAWAY had arrived. h2
    /// queues a request for the task of its connection, and does not hold it back if the GOAWAY overtakes it: it
    /// answers the server's PING first, from which the server determines the last stream, and writes the request
    /// afterwards. A load balancer that honors GOAWAY sends such a request elsewhere (RFC 9113, section 6.8).
    fn was_not_sent_in_time(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2 { seen, sent, .. } => {
                let seen = seen.lock().unwrap();
                seen.requests < *sent || seen.after_goaway > 0
            }
        }
    }

    async fn send(&mut self, address: SocketAddr, path: &str) -> Result<Answer, Box<dyn Error>> {
        match self {
            Self::Http1(sender) => {
                let request = hyper::Request::get(path).header("host", "localhost");
                let response = sender.send_request(request.body(Empty::new())?).await?;
                Ok(Answer::Http1(response))
            }
            Self::Http2 { sender, sent, .. } => {
                let request = hyper::Request::get(format!("http://{address}{path}"));
                *sent += 1;
                let (response, _) = sender.send_request(request.body(())?, true)?;
                Ok(Answer::Http2(response.await?))
            }
        }
    }
}

/// Head of a response whose body is not read yet.
enum Answer {
    Http1(hyper::Response<hyper::body::Incoming>),
    Http2(hyper::Response<h2::RecvStream>),
}

impl Answer {
    fn head(&self) -> (hyper::StatusCode, &hyper::HeaderMap) {
        match self {
            Self::Http1(response) => (response.status(), response.headers()),
            Self::Http2(response) => (response.status(), response.headers()),
        }
    }

    /// Reads the body; returns its length in bytes.
    async fn length(self) -> Option<usize> {
        match self {
            Self::Http1(response) => {
                let body = response.into_body().collect().await.ok()?;
                Some(body.to_bytes().len())
            }
            Self::Http2(response) => {
                let (mut body, mut length) = (response.into_body(), 0);
                while let Some(data) = body.data().await {
                    let received = data.ok()?.len();
                    body.flow_control().release_capacity(received).ok()?;
                    length += received;
                }
                Some(length)
            }
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    /// Requests that were not sent, or sent after the server had asked the client to leave.
    elsewhere: AtomicU64,
    /// Responses whose head arrived, but not all of the body.
    cut: AtomicU64,
    /// Requests of which no byte of a response arrived.
    lost: AtomicU64,
    /// Requests that failed here, and again on another server.
    lost_twice: AtomicU64,
    /// Description of each lost request.
    losses: Mutex<Vec<String>>,
    /// Time at which the newest connection was opened.
    opened: Mutex<Option<Instant>>,
    /// Longest time from the start of a client's request to the end of its next one.
    slowest: Mutex<Duration>,
}

impl Counts {
    /// Records the end of a client's request, the one before which began at this time.
    fn ended_after(&self, previous: Instant) {
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = (*slowest).max(previous.elapsed());
    }
}

/// Uses one connection at a time, until it is closed and no other may be opened.
async fn keep_asking(
    protocol: Protocol,
    address: SocketAddr,
    other: SocketAddr,
    ready: Arc<AtomicBool>,
    counts: Arc<Counts>,
    number: usize,
) {
    let mut sender = None;
    let mut begun = Instant::now();
    for request in 0_usize.. {
        if sender.is_none() {
            if !ready.load(Ordering::SeqCst) {
                return;
            }
            sender = Sender::connect(protocol, address).await;
            let mut opened = counts.opened.lock().unwrap();
            *opened = (*opened).max(Some(Instant::now()));
        }
        let Some(open) = &mut sender else { continue };
        if !open.is_open().await {
            sender = None;
            continue;
        }
        let (path, length) = match (request + number) % 16 {
            0 => ("/large", LARGE),
            _ => ("/hello", "hello\n".len()),
        };
        let previous = std::mem::replace(&mut begun, Instant::now());
        let sent = open.send(address, path).await;
        counts.ended_after(previous);
        let answer = match sent.map_err(|error| format!("{error:?}")) {
            Ok(answer) => answer,
            Err(error) => {
                if open.was_not_sent_in_time() {
                    counts.elsewhere.fetch_add(1, Ordering::SeqCst);
                } else {
                    counts.lost.fetch_add(1, Ordering::SeqCst);
                    let loss = format!("request {request} of client {number}: {open:?}: {error}");
                    counts.losses.lock().unwrap().push(loss);
                }
                sender = None;
                let again = match Sender::connect(protocol, other).await {
                    Some(mut second) => second.send(other, path).await.is_ok(),
                    None => false,
                };
                counts
                    .lost_twice
                    .fetch_add(u64::from(!again), Ordering::SeqCst);
                continue;
            }
        };
        let (status, headers) = answer.head();
        assert_eq!(status, 200);
        let closes = headers
            .get("connection")
            .is_some_and(|value| value == "close");
        match answer.length().await {
            Some(received) if received == length => {
                counts.answered.fetch_add(1, Ordering::SeqCst);
            }
            _ => {
                counts.cut.fetch_add(1, Ordering::SeqCst);
                sender = None;
            }
        }
        if closes {
            sender = None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Stops the service under load; returns what the clients saw, and
/// how long after the signal their last connection was opened.
fn stop_under_load(
    protocol: Protocol,
    service: &Process,
    other: SocketAddr,
) -> (Arc<Counts>, Duration) {
    let counts = Arc::new(Counts::default());
    let ready = Arc::new(AtomicBool::new(true));
    let address = service.api;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let signalled = runtime.block_on(async {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let (ready, counts) = (ready.clone(), counts.clone());
                tokio::spawn(keep_asking(protocol, address, other, ready, counts, number))
            })
            .collect();
        let poller = tokio::spawn({
            let ready = ready.clone();
            async move {
                loop {
                    let asked = async {
                        let mut probe = Sender::connect(Protocol::Http1, address).await?;
                        Some(probe.send(address, "/readyz").await.ok()?.head().0 == 200)
                    };
                    if asked.await != Some(true) {
                        ready.store(false, Ordering::SeqCst);
                        return;
                    }
                    tokio::time::sleep(ASKED_EVERY).await;
                }
            }
        });
        while counts.answered.load(Ordering::SeqCst) < BEFORE {
            tokio::time::sleep(PAUSE).await;
        }
        let signalled = Instant::now();
        service.signal(Signal::TERM);
        for client in clients {
            client.await.unwrap();
        }
        poller.await.unwrap();
        signalled
    });
    let opened = counts.opened.lock().unwrap().unwrap_or(signalled);
    (counts, opened.saturating_duration_since(signalled))
}

/// Returns the address of a collector that accepts all spans.
pub(crate) fn collector() -> String {
    format!("http://{}", dev::collector::start().unwrap())
}

fn number(log: &str, event: &str, key: &str) -> u64 {
    let line = log
        .lines()
        .find(|line| line.contains(event))
        .unwrap_or_else(|| panic!("no {event} in {log}"));
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key} in {line}"))
}

/// Number of stops that are tried until the load balancer notices within the grace period on this machine.
const STOPS: usize = 5;

fn drains(protocol: Protocol, grace: Duration) {
    // with a longer period each time
    let in_time = (0..STOPS).any(|stop| drains_or_is_late(protocol, grace * (1 << stop)));
    assert!(in_time, "the load balancer never noticed within {grace:?}");
}

/// Returns `false` if a client opened a connection after the grace period, or sent no request within it that could be
/// answered with `Connection: close`, because the machine was too busy to notify it in time.
fn drains_or_is_late(protocol: Protocol, grace: Duration) -> bool {
    let other = Start::new("serve").serve();
    let service = Start::new("serve")
        .env("OPS_GRACE_SECONDS", grace.as_secs_f64().to_string())
        .env("OPS_SHUTDOWN_SECONDS", "100")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector())
        .serve();
    let (counts, last_opened) = stop_under_load(protocol, &service, other.api);
    let (status, log) = service.ended();
    println!("{protocol:?} with a grace of {grace:?}, last opened {last_opened:?} in: {counts:?}");
    assert!(status.success(), "{status}");
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    assert!(of(&counts.answered) >= BEFORE, "{counts:?}");
    assert_eq!(
        (of(&counts.cut), of(&counts.lost_twice)),
        (0, 0),
        "{counts:?}"
    );
    // every request that reached the server has a line, and was answered completely
    let lines = log
        .lines()
        .filter(|line| line.contains("request_completed"));
    let answered = lines.clone().filter(|line| line.contains("\"status\":200"));
    assert_eq!(answered.count() as u64, of(&counts.answered));
    assert_eq!(lines.count() as u64, of(&counts.answered), "{counts:?}");
    assert_eq!(number(&log, "spans_flushed", "dropped"), 0);
    assert_eq!(
        number(&log, "spans_flushed", "exported"),
        of(&counts.answered)
    );
    assert_eq!(get(other.api, "/readyz").status, 200);
    if grace.is_zero() {
        return true;
    }
    let in_time = last_opened < grace && *counts.slowest.lock().unwrap() < grace;
    if in_time {
        assert_eq!(of(&counts.lost), 0, "{counts:?}");
    }
    in_time
}

fn runs() -> usize {
    if std::env::var_os("OPS_TEST_FULL").is_some() {
        10
    } else {
        1
    }
}

fn grace() -> Duration {
    Duration::from_secs(if std::env::var_os("OPS_TEST_FULL").is_some() {
        3
    } else {
        1
    })
}

#[test]
fn no_request_fails_over_http1_while_a_load_balancer_has_time_to_notice() {
    (0..runs()).for_each(|_| drains(Protocol::Http1, grace()));
}

#[test]
fn no_request_fails_over_http2_while_a_load_balancer_has_time_to_notice() {
    (0..runs()).for_each(|_| drains(Protocol::Http2, grace()));
}

#[test]
fn without_grace_every_request_that_reached_the_server_is_answered_over_http1() {
    (0..runs()).for_each(|_| drains(Protocol::Http1, Duration::ZERO));
}

#[test]
fn without_grace_every_request_that_reached_the_server_is_answered_over_http2() {
    (0..runs()).for_each(|_| drains(Protocol::Http2, Duration::ZERO));
}
