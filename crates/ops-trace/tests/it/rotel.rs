//! A foreign collector: rotel, which prints every span, log record and metric that it receives.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ops_trace::{Config, LogLines, Metric, Tracer, span};

use crate::SOON;
use crate::served::{self, Served, app};

/// Returns the path where `cargo xtask setup` puts a tool; `None` if it is missing and not required.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| manifest.join("../../target"), PathBuf::from);
    let tool = target.join("tools").join(name);
    if tool.exists() {
        return Some(tool);
    }
    let required = std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_some_and(|on| on == "1");
    assert!(
        !required,
        "{} is not there: cargo xtask setup",
        tool.display()
    );
    println!("skipped: {} is not there", tool.display());
    None
}

struct Rotel {
    child: Child,
    http: u16,
    lines: Receiver<String>,
}

impl Rotel {
    /// Starts rotel, and waits until it listens.
    fn start(tool: &Path, signals: &[&str]) -> Self {
        // another process may take a port first: then rotel exits, and the next ports are tried
        let mut started = (0..5).filter_map(|_| {
            let mut rotel = Self::spawn(tool, signals);
            let since = Instant::now();
            while TcpStream::connect(("127.0.0.1", rotel.http)).is_err() {
                if rotel.child.try_wait().unwrap().is_some() {
                    return None;
                }
                assert!(since.elapsed() < SOON, "it does not listen");
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Some(rotel)
        });
        started.next().unwrap()
    }

    fn spawn(tool: &Path, signals: &[&str]) -> Self {
        // both are bound at the same time, so that they differ
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [http, grpc] = ports.map(|listener| listener.local_addr().unwrap().port());
        let mut child = Command::new(tool)
            .args(["start", "--exporter", "blackhole"])
            .args(signals.iter().flat_map(|signal| ["--debug-log", signal]))
            .args(["--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        for output in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = send.send(line);
                }
            });
        }
        drop(send);
        Self { child, http, lines }
    }

    /// Reads the printed spans until this text was printed.
    fn wait_for(&mut self, text: &str) -> Vec<Printed> {
        spans(&self.wait_for_lines(&[text]))
    }

    /// Reads the output until each of these texts was printed, in any order.
    fn wait_for_lines(&mut self, texts: &[&str]) -> Vec<String> {
        let until = Instant::now() + SOON;
        let mut lines = Vec::<String>::new();
        let mut missing = texts.to_vec();
        while !missing.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no {missing:?} in {lines:#?}"));
            missing.retain(|text| !line.contains(text));
            lines.push(line);
        }
        lines
    }
}

/// A span as it is printed, with the attributes of the resource above it.
#[derive(Clone, Debug, Default)]
struct Printed {
    fields: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

/// Parses `Span #0`, then `    Name   : value` for each field, and `     -> key: Str(value)` for each attribute.
fn spans(lines: &[String]) -> Vec<Printed> {
    let (mut spans, mut resource) = (Vec::<Printed>::new(), BTreeMap::new());
    let mut in_resource = false;
    for line in lines {
        if line.starts_with("ResourceSpans #") {
            (in_resource, resource) = (true, BTreeMap::new());
        } else if line.starts_with("Span #") {
            in_resource = false;
            spans.push(Printed {
                resource: resource.clone(),
                ..Printed::default()
            });
        } else if let Some(pair) = line.trim_start().strip_prefix("-> ") {
            let (key, value) = pair.split_once(": ").unwrap();
            let (_, value) = value.split_once('(').unwrap();
            let value = value.trim_end_matches(')').to_owned();
            let attributes = match spans.last_mut() {
                Some(span) if !in_resource => &mut span.attributes,
                _ => &mut resource,
            };
            attributes.insert(key.to_owned(), value);
        } else if let (Some((key, value)), Some(span)) = (line.split_once(':'), spans.last_mut()) {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            span.fields.insert(key, value);
        }
    }
    spans
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotel_gets_resource_names_parents_and_attributes() {
    let Some(tool) = tool("python/bin/rotel-agent") else {
        return;
    };
    let mut rotel = Rotel::start(&tool, &["traces"]);
    let config = Config::new("rotel-test")
        .endpoint(format!("http://127.0.0.1:{}", rotel.http))
        .service_version("1.2.3")
        .environment([("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")]);
    // rotel may need a moment more, which probes bridge
    let config = config.probe_after(Duration::from_millis(100));
    let tracer = Tracer::new(config).unwrap();
    let started = Instant::now();
    while tracer.last_export_ok() != Some(true) {
        assert!(started.elapsed() < SOON, "{:?}", tracer.stats());
        drop(ops_trace::span!(tracer: tracer, "are-you-there"));
        tracer.flush();
    }
    let served = Served::start(app(served::spans(tracer.handle()))).await;
    let ended = tracer.stats().ended_sampled;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = served
        .send("GET /users/7", &[("traceparent", parent)])
        .await;
    let response = served::header(&answer, "traceresponse").unwrap();
    // the response may arrive before the span has ended
    while tracer.stats().ended_sampled == ended {
        tokio::task::yield_now().await;
    }
    let before = tracer.stats();
    let stats = tracer.shutdown(SOON).await;
    assert_eq!(stats.exported, before.exported + before.queued, "{stats:?}");
    // the last attribute of the expected span
    let printed = rotel.wait_for("http.response.status_code");
    check(&printed, response.split('-').nth(2).unwrap());
}

fn check(printed: &[Printed], span_id: &str) {
    let all = |field: &str, value: &str| {
        let spans = printed
            .iter()
            .filter(|span| span.fields.get(field).is_some_and(|v| v == value));
        spans.cloned().collect::<Vec<_>>()
    };
    let span = &all("Name", "GET /users/{id}")[0];
    let field = |name: &str| span.fields[name].as_str();
    assert_eq!(field("Trace ID"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(field("Parent ID"), "00f067aa0ba902b7");
    assert_eq!(field("ID"), span_id);
    assert_eq!(field("Kind"), "SPAN_KIND_SERVER");
    for (key, value) in [("service.name", "rotel-test"), ("service.version", "1.2.3")] {
        assert_eq!(span.resource[key], value, "{span:?}");
    }
    let code = "http.response.status_code";
    for (key, value) in [
        ("http.route", "/users/{id}"),
        ("url.path", "/users/7"),
        (code, "200"),
    ] {
        assert_eq!(span.attributes[key], value, "{span:?}");
    }
}

#[test]
fn rotel_gets_lines_with_their_trace_and_metrics_with_their_labels() {
    let Some(tool) = tool("python/bin/rotel-agent") else {
        return;
    };
    let mut rotel = Rotel::start(&tool, &["logs", "metrics"]);
    let mut lines = LogLines::new();
    let config = Config::new("rotel-test")
        .endpoint(format!("http://127.0.0.1:{}", rotel.http))
        .probe_after(Duration::from_millis(100))
        .environment([("OTEL_METRIC_EXPORT_INTERVAL", "100")])
        .export_logs(true)
        .export_metrics(true)
        .log_lines(&lines)
        .metrics_source(|batch| {
            let requests = Metric::new("requests_total", "Requests", "");
            batch.counter(requests, &[("route", "/users/{id}")], 7);
        });
    let tracer = Tracer::new(config).unwrap();
    let started = Instant::now();
    while tracer.metric_stats().unwrap().exported == 0 {
        assert!(started.elapsed() < SOON, "{:?}", tracer.metric_stats());
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let id = ops_trace::span!(tracer: tracer, "work").in_scope(|_| {
        let line = br#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"error","logger":"shop","event":"not_paid","amount":3}"#;
        lines.write_all(line).unwrap();
        ops_trace::get_current_trace_id()
    });
    let handle = tracer.handle();
    tracer.shutdown_blocking(SOON);
    assert_eq!(handle.log_stats().unwrap().exported, 1);
    let trace = format!("Trace ID       : {id}");
    let printed = rotel.wait_for_lines(&[&trace, "-> route: Str(/users/{id})"]);
    let printed = printed.join("\n");
    for text in [
        "-> Name: requests_total",
        "AggregationTemporality: AGGREGATION_TEMPORALITY_CUMULATIVE",
        "-> route: Str(/users/{id})",
        "-> service.name: Str(rotel-test)",
        "InstrumentationScope shop",
        "Timestamp: 1736937000123000000",
        "SeverityText: error",
        "SeverityNumber: SEVERITY_NUMBER_ERROR(17)",
        "Body: Str(not_paid)",
        "-> amount: Int(3)",
    ] {
        assert!(printed.contains(text), "no `{text}` in {printed}");
    }
}

/// Runs only with `OPS_TEST_FULL=1`: it takes minutes.
#[test]
fn rotel_gets_all_spans_of_failed_and_slow_ones_among_a_million_requests() {
    if std::env::var_os("OPS_TEST_FULL").is_none() {
        return;
    }
    let Some(tool) = tool("python/bin/rotel-agent") else {
        return;
    };
    let rotel = Rotel::start(&tool, &["traces"]);
    let endpoint = format!("http://127.0.0.1:{}", rotel.http);
    let config = crate::keep::settings_of_many(&endpoint).probe_after(Duration::from_millis(100));
    let tracer = Tracer::new(config).unwrap();
    let started = Instant::now();
    while tracer.last_export_ok() != Some(true) {
        assert!(started.elapsed() < SOON, "{:?}", tracer.stats());
        span!(tracer: tracer, "are-you-there").in_scope(|span| span.set_error("500"));
        tracer.flush();
    }
    let kept = crate::keep::serve_many(&tracer, 1_000_000);
    let stats = tracer.shutdown_blocking(SOON);
    assert_eq!(stats.tail_evicted, 0, "{stats:?}");
    let mut missing: BTreeMap<&str, usize> = kept.iter().map(|id| (id.as_str(), 4)).collect();
    while !missing.is_empty() {
        let line = rotel.lines.recv_timeout(SOON);
        let line = line.unwrap_or_else(|_| panic!("{} are not there", missing.len()));
        let Some((key, id)) = line.split_once(':') else {
            continue;
        };
        if key.trim() == "Trace ID"
            && let Some(left) = missing.get_mut(id.trim())
        {
            *left -= 1;
            if *left == 0 {
                missing.remove(id.trim());
            }
        }
    }
    let exported = stats.exported;
    writeln!(
        std::io::stdout(),
        "all 4 spans of {} traces, of {exported} exported",
        kept.len()
    )
    .unwrap();
}
