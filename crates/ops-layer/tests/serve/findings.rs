//! Findings of a real service, as its admin page shows them.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{PATIENCE, connect, get};
use crate::process::{Process, Start};
use crate::starvation::block_workers;

fn ids(service: &Process) -> Vec<String> {
    let state: Value = serde_json::from_str(&get(service.admin, "/api/state").body).unwrap();
    let findings = state["findings"].as_array().unwrap().iter();
    let ids = findings.map(|finding| finding["id"].as_str().unwrap().to_owned());
    ids.collect()
}

/// Waits until the findings are as expected.
fn until(service: &Process, are_right: impl Fn(&[String]) -> bool) {
    let asked = Instant::now();
    loop {
        let found = ids(service);
        if are_right(&found) {
            return;
        }
        assert!(asked.elapsed() < PATIENCE, "{found:?}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn blocked_workers_are_the_first_finding_while_they_are_blocked() {
    if std::env::var_os("OPS_TEST_FULL").is_none() {
        return; // waits for evaluations
    }
    let service = Start::new("serve")
        .env("BLOCK_MS", "30000")
        .env("OTEL_TRACES_EXPORTER", "none")
        .serve();
    let blocking = block_workers(&service);
    until(&service, |found| {
        found
            .first()
            .is_some_and(|first| first == "workers_blocked")
    });
    let verbose = get(service.admin, "/readyz?verbose");
    let line = "finding workers_blocked (critical): none of the 2 workers of the runtime has run a new task for ";
    assert!(verbose.body.contains(line), "{}", verbose.body);
    let metrics = get(service.admin, "/metrics").body;
    let metric = r#"ops_findings{id="workers_blocked",severity="critical"} 1"#;
    assert!(metrics.contains(metric), "{metrics}");
    assert_eq!(
        service
            .log()
            .matches("\"event\":\"finding_appeared\"")
            .count(),
        1
    );
    drop(blocking);
}

#[test]
fn slow_clients_that_take_every_connection_are_the_first_finding() {
    if std::env::var_os("OPS_TEST_FULL").is_none() {
        return; // waits for evaluations
    }
    let service = Start::new("serve")
        .env("MAX_CONNECTIONS", "4")
        .env("OTEL_TRACES_EXPORTER", "none")
        .serve();
    let head = b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    let slow: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = connect(service.api);
            stream.write_all(head).unwrap();
            stream
        })
        .collect();
    until(&service, |found| {
        found
            .first()
            .is_some_and(|first| first == "connections_full")
    });
    drop(slow);
    until(&service, <[String]>::is_empty);
}
