//! Cost of one request, by counts that do not depend on other activity of the machine.
//!
//! Without arguments it is a test: it compares the allocations of a request, part by
//! part, with their limits. `serve ROW REQUESTS` serves one part to a client in a
//! separate process, so that `cargo xtask perf ladder` can count the instructions.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the program is a test as a whole"
)]

use std::alloc::System;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use http::{request, response};
use ops_layer::http::{Observe, ObserveLayer, Outcome};
use ops_layer::{log, metrics, trace};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};
use tower_layer::Identity;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NAME: &str = "requests_allocate_no_more_than_their_limit";

/// Number of requests that fill tables, pools and buffers before counting starts.
const WARM_UP: usize = 512;

/// More than the 240 allocations of the threads that sample the process and look for findings.
const ALLOCATIONS_OF_A_SECOND: f64 = 600.0;

/// Request as wrk sends it; the response is a small JSON.
const REQUEST: &[u8] = b"GET /users/7?page=2 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: wrk\r\naccept: */*\r\n\r\n";
const MARK: &[u8] = b"GET /mark HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n";

/// Variant of serving the same handler.
struct Row {
    name: &'static str,
    /// Share of sampled requests; `None` without the whole layer.
    ratio: Option<f64>,
    /// Maximum number of allocations per request beyond those of the row `bare`.
    limit: f64,
}

const ROWS: [Row; 8] = [
    row("bare", None, 0.0),
    row("layer", None, 2.0),
    row("nothing", None, 3.0),
    row("metrics", None, 3.0),
    row("log", None, 3.0),
    row("off", Some(0.0), 3.0),
    row("sampled-10", Some(0.1), 7.5),
    row("sampled-100", Some(1.0), 8.0),
];

const fn row(name: &'static str, ratio: Option<f64>, limit: f64) -> Row {
    Row { name, ratio, limit }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", row, requests] => serve(row, requests.parse().unwrap()),
        ["send", requests] => send(requests.parse().unwrap()),
        // a filter of `cargo test` for another test
        [filter, ..] if !filter.starts_with('-') && !NAME.contains(filter) => {}
        _ => return check(),
    }
    ExitCode::SUCCESS
}

fn check() -> ExitCode {
    let mut bare = 0.0;
    let mut failed = false;
    for row in &ROWS {
        let (counted, tolerance) = allocations(row, 1000);
        if row.name == "bare" {
            bare = counted;
        }
        let more = counted - bare;
        let is_above = more > row.limit + tolerance;
        let verdict = if is_above { "FAILED" } else { "ok" };
        eprintln!(
            "{NAME} {}: {counted:.1} per request, {more:.1} more than bare, at most {} ... {verdict}",
            row.name, row.limit
        );
        failed |= is_above;
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Returns the allocations per request of one row, served by a separate
/// process, and how many of them may come from threads that wake each second.
fn allocations(row: &Row, requests: usize) -> (f64, f64) {
    let mut server = Command::new(std::env::current_exe().unwrap());
    server.args(["serve", row.name, &requests.to_string()]);
    let output = server.stdout(Stdio::null()).output().unwrap();
    let logged = String::from_utf8_lossy(&output.stderr);
    let number = |key: &str| {
        let mut values = logged.lines().filter_map(|line| line.strip_prefix(key));
        let number: Option<f64> = values.next().and_then(|value| value.parse().ok());
        number.unwrap_or_else(|| panic!("the server of {} said no {key}: {logged}", row.name))
    };
    let (counted, took) = (number("allocations "), number("milliseconds "));
    let of_ticks = ALLOCATIONS_OF_A_SECOND * (1.0 + took / 1000.0);
    (counted / requests as f64, of_ticks / requests as f64)
}

/// Serves one row until the client is done.
fn serve(name: &str, requests: usize) {
    let row = ROWS.iter().find(|row| row.name == name).unwrap();
    let mut client = Command::new(std::env::current_exe().unwrap());
    client.args(["send", &requests.to_string()]);
    let mut client = client
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut collector = String::new();
    BufReader::new(client.stdout.take().unwrap())
        .read_line(&mut collector)
        .unwrap();
    // one thread, so that each run has the same number of switches
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let app = observed(row, collector.trim()).merge(Router::new().route("/mark", get(mark)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        writeln!(client.stdin.take().unwrap(), "{address}").unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let ended = tokio::task::spawn_blocking(move || wait(&mut client));
        assert!(ended.await.unwrap(), "the client failed");
    });
}

fn wait(client: &mut Child) -> bool {
    client.wait().unwrap().success()
}

/// Returns the handler with the layers of the row.
fn observed(row: &Row, collector: &str) -> Router {
    let app = Router::new().route("/users/{id}", get(user));
    let lines = log::Config::new().json(true);
    let spans = trace::Config::new("ladder").endpoint(collector);
    match (row.name, row.ratio) {
        ("bare", _) => app,
        // an axum layer that adds no service: its boxes are not a cost of an observer
        ("layer", _) => app.layer(Identity::new()),
        ("nothing", _) => app.layer(ObserveLayer::new((Nothing,))),
        ("metrics", _) => {
            metrics::init(metrics::Config::new()).unwrap();
            app.layer(ObserveLayer::new((metrics::http::RedMetrics::new(),)))
        }
        ("log", _) => {
            std::mem::forget(log::init(lines).unwrap());
            app.layer(ObserveLayer::new((log::http::AccessLog::new(),)))
        }
        (_, ratio) => {
            let ratio = ratio.unwrap_or_default();
            let spans = match ratio {
                0.0 => spans.environment([("OTEL_SDK_DISABLED", "true")]),
                ratio => spans.sampling_ratio(ratio),
            };
            let config = ops_layer::Config::new("ladder")
                .log(lines)
                .trace(spans)
                .cache_dir(concat!(env!("CARGO_TARGET_TMPDIR"), "/ladder"));
            app.layer(ops_layer::init(config).unwrap().http())
        }
    }
}

async fn user(Path(id): Path<u64>) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "id": id, "name": "Ada" }))
}

/// Reports the allocations since the previous call, including those for queued spans.
async fn mark() -> &'static str {
    static BEFORE: Mutex<Option<(Stats, Instant)>> = Mutex::new(None);
    if let Some(handle) = trace::global() {
        handle.flush();
    }
    let mut before = BEFORE.lock().unwrap();
    let now = ALLOCATOR.stats();
    if let Some((before, at)) = *before {
        let since = now - before;
        eprintln!("allocations {}", since.allocations + since.reallocations);
        eprintln!("milliseconds {}", at.elapsed().as_millis());
    }
    *before = Some((ALLOCATOR.stats(), Instant::now()));
    ""
}

/// Observer that observes nothing.
#[derive(Clone, Copy)]
struct Nothing;

impl Observe for Nothing {
    type Scope = ();
    type Entered<'a> = ();

    fn start(&self, _: &mut request::Parts) {}
    fn enter(&self, _: &mut ()) {}
    fn response(&self, _: &mut (), _: &mut response::Parts) {}
    fn end(&self, _: (), _: &Outcome) {}
}

/// Sends requests over one connection to the address that it reads, and acts as the collector meanwhile.
fn send(requests: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("http://{}/v1/traces", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || collect(stream));
        }
    });
    let mut address = String::new();
    std::io::stdin().read_line(&mut address).unwrap();
    let address: SocketAddr = address.trim().parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |request: &[u8]| {
        stream.write_all(request).unwrap();
        let (head, _) = message(&mut reader).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    };
    (0..WARM_UP).for_each(|_| ask(REQUEST));
    ask(MARK);
    (0..requests).for_each(|_| ask(REQUEST));
    ask(MARK);
}

/// Accepts every batch.
fn collect(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while message(&mut reader).is_some() {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
    }
}

/// Reads head and body of one message; `None` at the end of the connection.
fn message(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        let line = head[start..].trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
