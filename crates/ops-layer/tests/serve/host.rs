//! Host in a request.

use std::io::{Read, Write};
use std::net::SocketAddr;

use crate::client::{Answer, connect, get, parse, until};
use crate::process::Start;

/// Sends the first line and these headers, and no body.
fn send(address: SocketAddr, line: &str, headers: &str) -> Answer {
    let mut stream = connect(address);
    write!(stream, "{line}\r\n{headers}connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parse(&String::from_utf8_lossy(&answer))
}

#[test]
fn a_request_for_no_host_or_several_or_one_that_is_none_is_refused_and_recorded() {
    let service = Start::new("serve").serve();
    let refused = [
        ("GET /hello HTTP/1.1", "", "missing"),
        (
            "GET /hello HTTP/1.1",
            "host: a\r\nhost: b\r\n",
            "more than one",
        ),
        (
            "GET /hello HTTP/1.1",
            "host: a\r\nhost: a\r\n",
            "more than one",
        ),
        (
            "GET /hello HTTP/1.1",
            "host: a b/\\c\r\n",
            "invalid Host header",
        ),
        (
            "GET /hello HTTP/1.1",
            "host: user@a\r\n",
            "invalid Host header",
        ),
        (
            "GET /hello HTTP/1.1",
            "host: a:80x\r\n",
            "invalid Host header",
        ),
        (
            "GET /hello HTTP/1.1",
            "host: a:65536\r\n",
            "invalid Host header",
        ),
        (
            "GET /hello HTTP/1.1",
            "host: [a]\r\n",
            "invalid Host header",
        ),
        (
            "GET /hello HTTP/1.1",
            "host: a/b\r\n",
            "invalid Host header",
        ),
        (
            "GET /hello HTTP/1.0",
            "host: a\r\nhost: b\r\n",
            "more than one",
        ),
        ("GET http://a/hello HTTP/1.1", "", "missing"),
    ];
    for (line, headers, why) in refused {
        let answer = send(service.api, line, headers);
        assert_eq!(answer.status, 400, "{line} {headers:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.body.contains(why), "{headers:?}: {}", answer.body);
    }
    for (line, headers) in [
        ("GET /hello HTTP/1.0", ""),
        ("GET /hello HTTP/1.0", "host: a\r\n"),
        ("GET /hello HTTP/1.1", "host: shop.example\r\n"),
        ("GET /hello HTTP/1.1", "host: shop.example:8000\r\n"),
        ("GET /hello HTTP/1.1", "host: 127.0.0.1:\r\n"),
        ("GET /hello HTTP/1.1", "host: [::1]:80\r\n"),
        ("GET http://a/hello HTTP/1.1", "host: a\r\n"),
    ] {
        let answer = send(service.api, line, headers);
        assert_eq!(answer.status, 200, "{line} {headers:?}");
    }
    let counted = "http_requests_total{route=\"/hello\",method=\"GET\",status=\"400\"} 11\n";
    until(
        || get(service.api, "/metrics"),
        |answer| answer.body.contains(counted),
    );
    let (status, log) = service.stop();
    assert!(status.success());
    let is_refused = |line: &&str| {
        line.contains("\"event\":\"request_completed\"") && line.contains("\"status\":400")
    };
    assert_eq!(log.lines().filter(is_refused).count(), 11, "{log}");
}
