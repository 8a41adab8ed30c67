//! SIGTERM under the connections of a load balancer: it opens none once `/readyz` is 503, asked every 200 ms, and honors
//! `Connection: close` and GOAWAY.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;

use crate::child::LARGE;
use crate::client::get;
use crate::process::{Process, Start};
use crate::wire::{Seen, Wire};

const CONNECTIONS: usize = 32;
const ASKED_EVERY: Duration = Duration::from_millis(200);
/// Between two requests of a connection.
const PAUSE: Duration = Duration::from_millis(20);
/// Requests that are answered before the signal.
const BEFORE: u64 = 200;

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    Http2,
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2 {
        sender: http2::SendRequest<Empty<Bytes>>,
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
                let io = TokioIo::new(wire);
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.ok()?;
                tokio::spawn(connection);
                let sent = 0;
                Self::Http2 { sender, seen, sent }
            }
        })
    }

    /// Waits until a request may be sent; `false` once the server asked to go.
    async fn is_open(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2 { sender, .. } => sender.ready().await.is_ok(),
        }
    }

    /// Reports if the last request stayed in this client, or left it after the server's GOAWAY had come. hyper's client
    /// queues a request for the task of its connection, and neither that task nor the queue of h2 behind it holds a
    /// request back that the GOAWAY overtakes: h2 answers the server's PING first, with which the server knows the last
    /// stream, and writes the request then. A load balancer that honors GOAWAY sends such a request elsewhere (RFC 9113,
    /// section 6.8).
    fn was_not_sent_in_time(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2 { seen, sent, .. } => {
                let seen = seen.lock().unwrap();
                seen.requests < *sent || seen.after_goaway > 0
            }
        }
    }

    async fn send(
        &mut self,
        address: SocketAddr,
        path: &str,
    ) -> hyper::Result<hyper::Response<hyper::body::Incoming>> {
        let request = hyper::Request::get(format!("http://{address}{path}"))
            .header("host", "localhost")
            .body(Empty::new())
            .unwrap();
        match self {
            Self::Http1(sender) => {
                let (mut parts, body) = request.into_parts();
                parts.uri = path.parse().unwrap();
                sender
                    .send_request(hyper::Request::from_parts(parts, body))
                    .await
            }
            Self::Http2 { sender, sent, .. } => {
                *sent += 1;
                sender.send_request(request).await
            }
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    /// Not sent, or sent after the server had asked to go.
    elsewhere: AtomicU64,
    /// The head of an answer arrived, and not all of its body.
    cut: AtomicU64,
    /// No byte of an answer arrived.
    lost: AtomicU64,
    /// Failed here, and failed again on another server.
    lost_twice: AtomicU64,
}

/// One connection at a time, until there is none and none may be opened.
async fn keep_asking(
    protocol: Protocol,
    address: SocketAddr,
    other: SocketAddr,
    ready: Arc<AtomicBool>,
    counts: Arc<Counts>,
    number: usize,
) {
    let mut sender = None;
    for request in 0_usize.. {
        if sender.is_none() {
            if !ready.load(Ordering::SeqCst) {
                return;
            }
            sender = Sender::connect(protocol, address).await;
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
        let sent = open.send(address, path).await;
        let Ok(response) = sent else {
            let count = match open.was_not_sent_in_time() {
                true => &counts.elsewhere,
                false => &counts.lost,
            };
            count.fetch_add(1, Ordering::SeqCst);
            sender = None;
            let again = match Sender::connect(protocol, other).await {
                Some(mut second) => second.send(other, path).await.is_ok(),
                None => false,
            };
            counts
                .lost_twice
                .fetch_add(u64::from(!again), Ordering::SeqCst);
            continue;
        };
        assert_eq!(response.status(), 200);
        let closes = response
            .headers()
            .get("connection")
            .is_some_and(|value| value == "close");
        let body = response.into_body().collect().await;
        match body.map(|body| body.to_bytes().len()) {
            Ok(received) if received == length => {
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

/// Stops the service under load; returns what the clients saw.
fn stop_under_load(protocol: Protocol, service: &Process, other: SocketAddr) -> Arc<Counts> {
    let counts = Arc::new(Counts::default());
    let ready = Arc::new(AtomicBool::new(true));
    let address = service.api;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
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
                        Some(probe.send(address, "/readyz").await.ok()?.status() == 200)
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
        service.signal(Signal::TERM);
        for client in clients {
            client.await.unwrap();
        }
        poller.await.unwrap();
    });
    counts
}

/// Accepts spans, as a collector does.
fn collector() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || accept_spans(stream.unwrap()));
        }
    });
    url
}

fn accept_spans(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some((_, value)) = line.to_lowercase().split_once("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        (&stream).write_all(answer.as_bytes()).ok()?;
    }
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

fn drains(protocol: Protocol, grace: Duration) {
    let other = Start::new("serve").serve();
    let service = Start::new("serve")
        .env("OPS_GRACE_SECONDS", grace.as_secs_f64().to_string())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector())
        .serve();
    let counts = stop_under_load(protocol, &service, other.api);
    let (status, log) = service.ended();
    println!("{protocol:?} with a grace of {grace:?}: {counts:?}");
    assert!(status.success(), "{status}");
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    assert!(of(&counts.answered) >= BEFORE, "{counts:?}");
    assert_eq!(
        (of(&counts.cut), of(&counts.lost_twice)),
        (0, 0),
        "{counts:?}"
    );
    if !grace.is_zero() {
        assert_eq!(of(&counts.lost), 0, "{counts:?}");
    }
    // whatever reached the server has a line, and was answered to its end
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
