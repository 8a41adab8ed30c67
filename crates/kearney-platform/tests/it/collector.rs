//! The platform's spans as received by a collector of another project: rotel, which prints each one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::served::Home;

const SOON: Duration = Duration::from_secs(60);
/// Pause after which a span is complete; rotel prints one without such a pause, on a busy machine too.
const PAUSE: Duration = Duration::from_secs(2);

/// Returns the path of rotel in the target folder of this build; `None` if it is not installed and not required.
fn tool() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_kearney-platform"));
    let target = program.ancestors().nth(2).unwrap();
    let tool = target.join("tools/python/bin/rotel-agent");
    if tool.exists() {
        return Some(tool);
    }
    let required = std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_some_and(|on| on == "1");
    assert!(!required, "{}: cargo xtask setup", tool.display());
    None
}

struct Rotel {
    child: Child,
    endpoint: String,
    lines: Receiver<String>,
}

impl Rotel {
    /// Starts a collector. If another process takes its port first, starts another one.
    fn start(tool: PathBuf) -> Self {
        let started = Instant::now();
        loop {
            if let Some(rotel) = Self::start_once(&tool) {
                return rotel;
            }
            assert!(started.elapsed() < SOON, "rotel does not listen");
        }
    }

    fn start_once(tool: &Path) -> Option<Self> {
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
                let _ = send.send(line);
            }
        });
        let started = Instant::now();
        let mut rotel = Self {
            child,
            endpoint: format!("http://{http}"),
            lines,
        };
        while TcpStream::connect(http).is_err() {
            if rotel.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(started.elapsed() < SOON, "rotel does not listen");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Some(rotel)
    }

    /// Reads the output until it has a complete span of each of these names.
    fn spans(&self, wanted: &[&str]) -> Vec<Printed> {
        self.spans_until(wanted, |spans| {
            let has = |name: &&str| spans.iter().any(|span| span.field("Name") == *name);
            wanted.iter().all(has)
        })
    }

    /// Reads the output until `enough` returns `true`.
    fn spans_until(&self, wanted: &[&str], enough: impl Fn(&[Printed]) -> bool) -> Vec<Printed> {
        let until = Instant::now() + SOON;
        let mut lines = Vec::new();
        loop {
            let spans = parse(&lines);
            // the last span may be incomplete until another line follows it
            if enough(&spans) && lines.last().is_some_and(String::is_empty) {
                return spans;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(PAUSE)) {
                Ok(line) => lines.push(line),
                // no more output: the last span is complete
                Err(_) if left.is_zero() => panic!("no {wanted:?} in {lines:#?}"),
                Err(_) => lines.push(String::new()),
            }
        }
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A printed span, with the attributes of its resource.
#[derive(Clone, Debug, Default)]
struct Printed {
    fields: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

impl Printed {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// Parses `Span #0`, then `    Name   : value` for each field, and `     -> key: Str(value)` for each attribute.
fn parse(lines: &[String]) -> Vec<Printed> {
    let (mut spans, mut resource) = (Vec::<Printed>::new(), BTreeMap::new());
    let mut in_resource = false;
    for line in lines {
        if line.starts_with("ResourceSpans #") {
            (in_resource, resource) = (true, BTreeMap::new());
        } else if line.starts_with("Span #") {
            in_resource = false;
            let resource = resource.clone();
            spans.push(Printed {
                resource,
                ..Printed::default()
            });
        } else if let Some(pair) = line.trim_start().strip_prefix("-> ") {
            let Some((key, value)) = pair.split_once(": ") else {
                continue;
            };
            let value = value.split_once('(').map_or(value, |(_, value)| value);
            let attributes = match spans.last_mut() {
                Some(span) if !in_resource => &mut span.attributes,
                _ => &mut resource,
            };
            attributes.insert(key.to_owned(), value.trim_end_matches(')').to_owned());
        } else if let (Some((key, value)), Some(span)) = (line.split_once(':'), spans.last_mut()) {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            span.fields.insert(key, value);
        }
    }
    spans
}

#[test]
fn a_collector_gets_the_platforms_spans_with_resource_names_parents_and_attributes() {
    let Some(tool) = tool() else { return };
    let rotel = Rotel::start(tool);
    let served = Home::with_collector(rotel.endpoint.clone()).serve_and_load();
    // loopback is trusted: the trace continues here
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let path = "/api/flights/summary?origin=SFO";
    let answer = served.get_with(path, &[("traceparent", parent)]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let response: Vec<&str> = answer.header("traceresponse").split('-').collect();
    assert_eq!(response[1], "4bf92f3577b34da6a3ce929d0e0e4736");

    let route = "GET /api/flights/summary";
    let spans = rotel.spans(&[route, "SELECT"]);
    let request = spans
        .iter()
        .find(|span| span.field("Name") == route)
        .unwrap();
    assert_eq!(request.field("Trace ID"), response[1]);
    assert_eq!(request.field("Parent ID"), "00f067aa0ba902b7");
    assert_eq!(request.field("ID"), response[2]);
    assert_eq!(request.field("Kind"), "SPAN_KIND_SERVER");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/flights/summary"),
        ("url.path", "/api/flights/summary"),
        ("url.query", "origin=SFO"),
        ("http.response.status_code", "200"),
    ] {
        let found = request.attributes.get(key).map(String::as_str);
        assert_eq!(found, Some(value), "{key} in {request:#?}");
    }
    assert_eq!(request.resource["service.name"], "kearney-platform-api");

    let query = spans
        .iter()
        .find(|span| span.field("Name") == "SELECT" && span.field("Trace ID") == response[1]);
    let query = query.unwrap();
    assert_eq!(query.field("Parent ID"), request.field("ID"));
    assert_eq!(query.attributes["db.system.name"], "duckdb");
    assert!(served.stop().success());
}

#[test]
fn a_run_of_the_command_line_is_one_trace_with_its_phases_and_agents() {
    const RUN: &str = "orchestrator.run";
    const AGENTS: [(&str, &str); 6] = [
        ("flights_loader", "ingest"),
        ("airports_loader", "ingest"),
        ("zipcodes_loader", "ingest"),
        ("profiler", "profile"),
        ("analyst", "analyze"),
        ("publisher", "publish"),
    ];
    let Some(tool) = tool() else { return };
    let rotel = Rotel::start(tool);
    let home = Home::with_collector(rotel.endpoint.clone());
    let arguments = [
        "orchestrate",
        "--job",
        "delays",
        "--client",
        "acme",
        "--json",
    ];
    let mut program = home.program(&arguments);
    let output = program.stdout(Stdio::piped()).output().unwrap();
    let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run["status"], "success");

    let ours = |span: &&Printed| span.field("Name").starts_with("orchestrator.");
    let spans = rotel.spans_until(&[RUN], |spans| spans.iter().filter(ours).count() >= 11);
    let ours: Vec<&Printed> = spans.iter().filter(ours).collect();
    assert_eq!(ours.len(), 1 + 4 + AGENTS.len());
    for span in &ours {
        assert_eq!(span.field("Trace ID"), run["trace_id"], "{span:#?}");
    }
    let root = ours.iter().find(|span| span.field("Name") == RUN).unwrap();
    assert_eq!(root.field("Parent ID"), "");
    assert_eq!(root.attributes["run_id"], run["run_id"].as_str().unwrap());
    assert_eq!(
        (&*root.attributes["job"], &*root.attributes["client"]),
        ("delays", "acme")
    );
    for (agent, phase) in AGENTS {
        let has = |span: &&&Printed, key: &str, value: &str| {
            span.attributes.get(key).is_some_and(|found| found == value)
        };
        let agent = ours.iter().find(|span| has(span, "agent", agent)).unwrap();
        let phase = ours
            .iter()
            .find(|span| span.field("Name") == "orchestrator.phase" && has(span, "phase", phase))
            .unwrap();
        assert_eq!(agent.field("Parent ID"), phase.field("ID"));
        assert_eq!(phase.field("Parent ID"), root.field("ID"));
    }
    show(&ours, root, 0);
    let queries = spans.iter().filter(|span| span.field("Name") == "SELECT");
    assert!(
        queries.clone().count() >= 4,
        "those of profile and analysis"
    );
}

/// Prints a span and its descendants, for readers of the test output.
fn show(spans: &[&Printed], span: &Printed, depth: usize) {
    let named = ["agent", "phase", "job"].iter();
    let mut named = named.filter_map(|key| span.attributes.get(*key));
    let (name, what) = (span.field("Name"), named.next().map_or("", String::as_str));
    let trace = span.field("Trace ID");
    let line = format!("{trace} {:indent$}{name} {what}", "", indent = depth * 2);
    let _ = writeln!(std::io::stderr(), "{line}");
    let below = spans
        .iter()
        .filter(|other| other.field("Parent ID") == span.field("ID"));
    for below in below {
        show(spans, below, depth + 1);
    }
}
