//! Service for the W3C trace-context suite: `POST /test` with `[{"url": .., "arguments": ..}]`
//! calls each URL back with the context of the request. `ops_layer::serve` needs no set-up for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::client::request;
use crate::process::Start;

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

/// Handles requests of the suite.
pub(crate) async fn call_back(body: Bytes) -> StatusCode {
    let Ok(Value::Array(calls)) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut headers = HeaderMap::new();
    ops_layer::trace::inject(&mut headers);
    let mut lines = String::new();
    for (name, value) in &headers {
        lines += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let called = ops_layer::spawn_blocking(move || {
        for call in calls {
            let url = call["url"].as_str().unwrap();
            let (host, path) = url["http://".len()..].split_once('/').unwrap();
            let arguments = call["arguments"].to_string();
            let path = format!("/{path}");
            request(
                host.parse().unwrap(),
                "POST",
                &path,
                &lines,
                arguments.as_bytes(),
            );
        }
    });
    match called.await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::BAD_GATEWAY,
    }
}

/// Accepts one call, and returns its head.
fn take_call(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with("[7]") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{text}");
        text += &String::from_utf8_lossy(&buffer[..read]);
    }
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(answer).unwrap();
    text
}

fn header<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).collect()
}

/// Sends the headers to the service, and returns the heads of two calls.
fn calls(service: SocketAddr, headers: &str) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taken = std::thread::spawn(move || [(); 2].map(|()| take_call(&listener)).to_vec());
    let call = json!({ "url": format!("http://{address}/callback"), "arguments": [7] });
    let body = json!([call, call]).to_string();
    let answer = request(service, "POST", "/test", headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    taken.join().unwrap()
}

#[test]
fn the_service_of_the_w3c_suite_needs_no_further_set_up() {
    let service = Start::new("serve")
        .env("OTEL_TRACES_EXPORTER", "none")
        .serve();
    let sent = format!(
        "traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: foo=1\r\ntracestate: bar=2\r\n"
    );
    for head in calls(service.api, &sent) {
        let parent = header(&head, "traceparent");
        let parts: Vec<&str> = parent[0].split('-').collect();
        assert_eq!(
            (parent.len(), parts[0], parts[1], parts[3]),
            (1, "00", TRACE, "01"),
            "{head}"
        );
        assert_ne!(parts[2], PARENT, "{head}");
        let states = header(&head, "tracestate").join(",");
        assert_eq!(states.replace(' ', ""), "foo=1,bar=2", "{head}");
    }
    // an invalid traceparent starts a new trace
    for wrong in [
        "00-00000000000000000000000000000000-1234567890123456-01",
        "ff-x",
    ] {
        for head in calls(service.api, &format!("traceparent: {wrong}\r\n")) {
            let parent = header(&head, "traceparent");
            assert_eq!(parent.len(), 1, "{head}");
            assert!(
                !parent[0].contains(TRACE) && parent[0].len() == 55,
                "{head}"
            );
        }
    }
}
