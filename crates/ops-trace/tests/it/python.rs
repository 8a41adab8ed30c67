//! A foreign peer: the Python SDK. Each format, sampled or not, from Python through a service of this crate to Python.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use http::{HeaderMap, HeaderName, HeaderValue};
use ops_http::{Ending, Observe, Outcome};
use ops_trace::http::{ServerSpans, Trust};
use ops_trace::testing::{Collector, ReceivedSpan};
use ops_trace::{Config, Tracer};
use serde_json::{Value, json};

use crate::rotel::tool;

struct Python {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Python {
    fn start() -> Option<Self> {
        let python = tool("python-otel/bin/python")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python_peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, answers })
    }

    fn ask(&mut self, request: &Value) -> Value {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the service of this crate: it receives a request with these
/// headers, and sends one with the returned headers, within its own span.
fn served(formats: &str, headers: &Value) -> (BTreeMap<String, String>, Vec<ReceivedSpan>) {
    let collector = Collector::start().unwrap();
    let config = Config::new("it")
        .endpoint(collector.endpoint())
        .environment([("OTEL_PROPAGATORS", formats)])
        .propagate_to("python.internal")
        .baggage_attribute("tenant");
    let tracer = Tracer::new(config).unwrap();
    let spans = ServerSpans::new()
        .handle(tracer.handle())
        .trust(Trust::Everybody);
    let mut request = http::Request::get("/orders");
    for (name, value) in headers.as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let mut scope = spans.start(&mut parts);
    let mut outgoing = HeaderMap::new();
    {
        let _entered = spans.enter(&mut scope);
        assert!(tracer.inject_to("python.internal", &mut outgoing));
    }
    let time = std::time::Duration::ZERO;
    let outcome = Outcome::new(http::Method::GET, None, 200, Ending::Complete, time);
    spans.end(scope, &outcome);
    tracer.flush();
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    (outgoing.iter().map(text).collect(), collector.spans())
}

#[test]
fn each_format_goes_from_python_to_us_and_back() {
    let Some(mut python) = Python::start() else {
        return;
    };
    // no space: Python writes it as a plus sign, which is literal in baggage
    let value = "ä;c,d=e%20\"\\";
    let formats = [
        "tracecontext",
        "tracecontext,baggage",
        "b3",
        "b3multi",
        "b3,baggage",
        "b3multi,baggage",
        "tracecontext,b3",
    ];
    for (formats, sampled) in formats.iter().flat_map(|f| [(*f, true), (*f, false)]) {
        let sent = python.ask(&json!({
            "do": "send", "formats": formats, "sampled": sampled, "baggage": {"tenant": value, "empty": ""},
        }));
        let (headers, spans) = served(formats, &sent["headers"]);
        let back = python.ask(&json!({"do": "receive", "formats": formats, "headers": headers}));
        let about = format!("{formats} {sent} {headers:?} {back}");
        assert_eq!(back["trace_id"], sent["trace_id"], "{about}");
        assert_eq!(back["sampled"], sampled, "{about}");
        assert_ne!(back["span_id"], sent["span_id"], "{about}");
        let with_baggage = formats.contains("baggage");
        let tenant = with_baggage.then_some(value);
        assert_eq!(back["baggage"]["tenant"].as_str(), tenant, "{about}");
        if !sampled {
            assert_eq!(spans.len(), 0, "{about}");
            continue;
        }
        let [span] = &spans[..] else {
            panic!("{about}: {spans:?}")
        };
        assert_eq!(sent["trace_id"], span.trace_id, "{about}");
        assert_eq!(sent["span_id"], span.parent_span_id, "{about}");
        assert_eq!(back["span_id"], span.span_id, "{about}");
        assert_eq!(span.attribute("tenant"), tenant, "{about}");
    }
}
