//! One request is one trace at a collector of another project (rotel; `ROTEL` names its program): all spans of three
//! processes with their parents, every line of the request with its trace id, and metrics.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

/// A process and its output lines.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = send.send(line);
                }
            });
        }
        Self { child, lines }
    }

    /// Starts a service of the example, and returns its URL.
    fn service(name: &str, collector: u16, others: &[(&str, &str)]) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_three-services"));
        let collector = format!("http://127.0.0.1:{collector}");
        command
            .arg(name)
            .env("PORT", "0")
            .env("OPS_ADMIN_ADDR", "off")
            .env("OPS_LOG_FORMAT", "json")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
            .env("OTEL_LOGS_EXPORTER", "otlp")
            .env("OTEL_METRICS_EXPORTER", "otlp")
            .envs(others.iter().copied());
        let process = Self::start(&mut command);
        let mut printed = Vec::new();
        let address = process.until(&mut printed, |line| {
            let address = line.split(r#""address":""#).nth(1)?;
            address.split('"').next().map(str::to_owned)
        });
        (process, format!("http://{address}"))
    }

    fn until<T>(&self, printed: &mut Vec<String>, found: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + SOON;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("not found in {printed:#?}"));
            let result = found(&line);
            printed.push(line);
            if let Some(result) = result {
                return result;
            }
        }
    }

    /// Stops it with SIGTERM, so that queued telemetry is sent first; returns the remaining lines.
    fn stop(mut self) -> Vec<String> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(self.child.wait().unwrap().success());
        self.lines.iter().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rotel() -> Option<(Process, u16)> {
    let Some(program) = std::env::var_os("ROTEL") else {
        assert!(std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_none());
        println!("skipped: ROTEL names no program");
        return None;
    };
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [http, grpc] = ports.map(|listener| listener.local_addr().unwrap().port());
    let process = Process::start(
        Command::new(program)
            .args(["start", "--exporter", "blackhole"])
            .args(["--debug-log", "traces", "--debug-log", "logs"])
            .args(["--debug-log", "metrics"])
            .args(["--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")]),
    );
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", http)).is_err() {
        assert!(started.elapsed() < SOON);
        std::thread::yield_now();
    }
    Some((process, http))
}

fn get(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A span or log record as printed by rotel: its fields and its service.
#[derive(Debug, Default)]
struct Printed {
    is_span: bool,
    service: String,
    fields: BTreeMap<String, String>,
}

impl Printed {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

fn parsed(lines: &[String]) -> Vec<Printed> {
    let (mut all, mut service) = (Vec::<Printed>::new(), String::new());
    for line in lines {
        if line.starts_with("Span #") || line.starts_with("LogRecord #") {
            all.push(Printed {
                is_span: line.starts_with("Span #"),
                service: service.clone(),
                fields: BTreeMap::new(),
            });
        } else if let Some(name) = line.trim().strip_prefix("-> service.name: Str(") {
            service = name.trim_end_matches(')').to_owned();
        } else if !line.contains("->")
            && let (Some((key, value)), Some(last)) = (line.split_once(':'), all.last_mut())
        {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            last.fields.entry(key).or_insert(value);
        }
    }
    all
}

#[test]
fn one_request_is_one_trace_with_all_parents_lines_and_metrics() {
    let Some((rotel, collector)) = rotel() else {
        return;
    };
    let (prices, prices_url) = Process::service("prices", collector, &[]);
    let (worker, worker_url) = Process::service("worker", collector, &[]);
    let urls = [("PRICES_URL", &*prices_url), ("WORKER_URL", &*worker_url)];
    let (web, url) = Process::service("web", collector, &urls);
    let answer = get(&url, "/orders/tea");
    assert!(
        answer.contains(r#"{"item":"tea","cents":450,"stock":12}"#),
        "{answer}"
    );
    let response = answer.split("traceresponse: ").nth(1).unwrap();
    let trace_id = response.split('-').nth(1).unwrap().to_owned();
    let mut printed = Vec::new();
    for service in [web, prices, worker] {
        printed.extend(service.stop());
    }

    // everything was sent before the services ended; rotel prints the rest before it ends
    let received = rotel.stop();
    for metric in ["http_requests_total", "http_client_requests_total"] {
        let name = format!("-> Name: {metric}");
        let printed = received.iter().any(|line| line.ends_with(&name));
        assert!(printed, "no {metric}");
    }
    let received = parsed(&received);
    let of_trace: Vec<_> = received
        .iter()
        .filter(|item| item.field("Trace ID") == trace_id)
        .collect();
    let spans: Vec<_> = of_trace.iter().filter(|item| item.is_span).collect();
    let parent = |span: &Printed| {
        let id = span.field("Parent ID");
        let parent = spans.iter().find(|known| known.field("ID") == id);
        parent.map_or(String::new(), |p| {
            format!("{} {}", p.service, p.field("Name"))
        })
    };
    let mut tree: Vec<String> = spans
        .iter()
        .map(|span| {
            let kind = span.field("Kind").trim_start_matches("SPAN_KIND_");
            format!(
                "{} {} {} < {}",
                span.service,
                kind,
                span.field("Name"),
                parent(span)
            )
        })
        .collect();
    tree.sort_unstable();
    println!("{tree:#?}");
    assert_eq!(
        tree,
        [
            "prices SERVER POST /shop.Prices/Of < web POST /shop.Prices/Of",
            "web CLIENT GET /stock/{item} < web GET /orders/{item}",
            "web CLIENT POST /shop.Prices/Of < web GET /orders/{item}",
            "web SERVER GET /orders/{item} < ",
            "worker INTERNAL SELECT stock < worker look_up",
            "worker INTERNAL look_up < worker GET /stock/{item}",
            "worker SERVER GET /stock/{item} < web GET /stock/{item}",
        ]
    );

    // every line that a service printed with this trace id has arrived at the collector with it
    let trace = format!(r#""trace_id":"{trace_id}""#);
    let of_request: Vec<_> = printed
        .iter()
        .filter(|line| line.contains(&trace))
        .collect();
    let records = of_trace.iter().filter(|item| !item.is_span).count();
    println!("{} lines, {records} records", of_request.len());
    assert!(of_request.len() >= 6, "{of_request:#?}");
    assert_eq!(records, of_request.len(), "{of_request:#?} {of_trace:#?}");
}

#[test]
fn there_is_exactly_one_opentelemetry() {
    let lockfile = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    let lockfile = std::fs::read_to_string(lockfile).unwrap();
    for name in ["opentelemetry", "opentelemetry_sdk", "tracing", "http"] {
        let versions = lockfile.matches(&format!("\nname = \"{name}\"\n")).count();
        assert_eq!(versions, 1, "{name}");
    }
}
