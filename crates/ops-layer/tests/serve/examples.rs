//! The examples, as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};

use crate::client::{PATIENCE, get, until};
use crate::process::Start;

fn next(lines: &Receiver<String>, event: &str) -> serde_json::Value {
    loop {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["event"] == event {
            return line;
        }
    }
}

/// Collector of another project, and its output.
struct Rotel {
    child: Child,
    endpoint: String,
    lines: Receiver<String>,
}

impl Rotel {
    /// Starts the one that `cargo xtask setup` fetched; `None` if it is missing and not required.
    fn start() -> Option<Self> {
        let tests = std::env::current_exe().unwrap();
        let target = tests.ancestors().nth(3).unwrap();
        let tool: PathBuf = target.join("tools/python/bin/rotel-agent");
        if !tool.exists() {
            let required = std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_some_and(|on| on == "1");
            assert!(!required, "{}: cargo xtask setup", tool.display());
            return None;
        }
        let started = std::time::Instant::now();
        loop {
            if let Some(rotel) = Self::start_once(&tool, started) {
                return Some(rotel);
            }
        }
    }

    /// Starts it; `None` if another process took a port first.
    fn start_once(tool: &Path, started: std::time::Instant) -> Option<Self> {
        // both are bound at the same time, so that they differ
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [http, grpc] = ports.map(|listener| listener.local_addr().unwrap());
        let mut child = Command::new(tool)
            .args(["start", "--exporter", "blackhole"])
            .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &http.to_string()])
            .args(["--otlp-grpc-endpoint", &grpc.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // the receiver may be gone
                let _ = send.send(line);
            }
        });
        let mut rotel = Self {
            child,
            endpoint: format!("http://{http}"),
            lines,
        };
        while TcpStream::connect(http).is_err() {
            assert!(started.elapsed() < PATIENCE, "rotel does not listen");
            if rotel.child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        Some(rotel)
    }

    /// Waits until it has printed this text.
    fn printed(&self, text: &str) {
        while !self.lines.recv_timeout(PATIENCE).unwrap().contains(text) {}
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[test]
fn hello_is_12_lines_and_its_first_request_has_a_line_a_span_and_a_metric() {
    let source = include_str!("../../examples/hello.rs");
    assert!(source.lines().count() <= 12, "{source}");
    let rotel = Rotel::start();
    let mut start = Start::example("hello");
    if let Some(rotel) = &rotel {
        start = start.env("OTEL_EXPORTER_OTLP_ENDPOINT", &rotel.endpoint);
    }
    let (service, lines) = start.run_example("listening");
    assert_eq!(get(service.api, "/readyz").status, 200);
    let answer = get(service.api, "/hello/world");
    assert_eq!(answer.body, "hello world\n");

    let greeted = next(&lines, "greeted");
    assert_eq!(greeted["guest"], "world");
    let trace_id = greeted["trace_id"].as_str().unwrap();
    assert_eq!(trace_id.len(), 32);
    let access = next(&lines, "request_completed");
    assert_eq!(access["trace_id"], trace_id);
    assert_eq!(access["route"], "/hello/{name}");
    assert!(answer.header("traceresponse").contains(trace_id));

    let on_page = |answer: &crate::client::Answer| {
        answer.body.contains(trace_id) && answer.body.contains("GET /hello/{name}")
    };
    until(|| get(service.admin, "/api/state"), on_page);
    let counted = "http_requests_total{route=\"/hello/{name}\",method=\"GET\",status=\"200\"} 1\n";
    let metrics = get(service.api, "/metrics").body;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(service.stop().0.success());
    if let Some(rotel) = &rotel {
        rotel.printed(trace_id);
    }
}

#[test]
fn the_worker_logs_and_traces_its_work_and_ends_with_0() {
    let (worker, lines) = Start::example("worker").run_example("job_started");
    let handled = next(&lines, "handled");
    assert_eq!(handled["number"], 1);
    let trace_id = handled["trace_id"].as_str().unwrap().to_owned();
    until(
        || get(worker.admin, "/api/state"),
        |answer| answer.body.contains(&trace_id),
    );
    let (status, _) = worker.stop();
    assert_eq!(status.code(), Some(0));
    next(&lines, "job_finished");
    let flushed = next(&lines, "spans_flushed");
    // nothing listens at the address of its collector
    assert!(flushed["dropped"].as_u64().unwrap() >= 1, "{flushed}");
}

#[test]
fn the_library_works_without_an_init() {
    let (status, output) = Start::example("library").output();
    assert!(status.success(), "{output}");
}
