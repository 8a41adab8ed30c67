//! The admin page responds whatever happens to the service.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::child::LARGE_STACK;
use crate::client::{PATIENCE, connect, get};
use crate::process::{Process, Start};

/// Returns the time limit: 100 ms in a full run on a quiet machine; a normal run shares the machine with other tests.
fn allowed() -> Duration {
    match std::env::var_os("OPS_TEST_FULL") {
        Some(_) => Duration::from_millis(100),
        None => PATIENCE,
    }
}

/// Milliseconds that a blocking condition lasts: far longer than the limit.
const BLOCKED: &str = "600000";

fn admin_answers(service: &Process, while_: &str) {
    for path in ["/healthz", "/api/state", "/healthz", "/api/state"] {
        let asked = Instant::now();
        let answer = get(service.admin, path);
        let elapsed = asked.elapsed();
        println!("{while_}: {path} {} after {elapsed:?}", answer.status);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(elapsed < allowed(), "{while_}: {path} after {elapsed:?}");
    }
}

#[test]
fn while_every_worker_is_blocked() {
    let service = Start::new("serve").env("BLOCK_MS", BLOCKED).serve();
    let blocking = block_workers(&service);
    admin_answers(&service, "workers blocked");
    drop(blocking);
}

/// Sends blocking requests until no worker is left to respond.
pub(crate) fn block_workers(service: &Process) -> Vec<TcpStream> {
    let blocking = (0..6).map(|_| {
        let mut stream = connect(service.api);
        let head = b"GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(head).unwrap();
        stream
    });
    let blocking = blocking.collect();
    while is_answered(service.api) {}
    blocking
}

/// Returns whether a request that needs no time is answered within half a second.
pub(crate) fn is_answered(api: SocketAddr) -> bool {
    let mut stream = connect(api);
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    stream
        .write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    stream.read(&mut [0; 100]).is_ok()
}

fn half_open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let mut stream = connect(address);
            // the server may have closed it already, to make room
            let _ = stream.write_all(b"GET /hello HTTP/1.1\r\nHost: loc");
            stream
        })
        .collect()
}

#[test]
fn while_200_clients_sent_half_a_head_to_each_listener() {
    let service = Start::new("serve").env("HEAD_MS", BLOCKED).serve();
    let held = [half_open(service.api, 200), half_open(service.admin, 200)];
    admin_answers(&service, "200 half-open connections");
    assert_eq!(get(service.api, "/hello").status, 200);
    drop(held);
}

#[test]
fn while_100_slow_clients_use_up_the_64_descriptors_of_the_process() {
    let before = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let service = Start::through(&before, "serve")
        .env("BODY_MS", BLOCKED)
        .serve();
    let slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = connect(service.api);
            let head =
                "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nslow";
            // it may have been closed for another one
            let _ = stream.write_all(head.as_bytes());
            stream
        })
        .collect();
    admin_answers(&service, "100 slow clients and 64 descriptors");
    drop(slow);
    assert_eq!(get(service.api, "/hello").status, 200);
}

#[test]
fn while_the_service_itself_uses_up_every_descriptor() {
    let before = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let service = Start::through(&before, "serve").serve();
    // stays open: its descriptor would be free for the page
    let mut open = connect(service.api);
    open.write_all(b"GET /descriptors HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut head = [0; 12];
    open.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    // more than the reserved descriptors: each uses the one released by the previous
    for _ in 0..4 {
        admin_answers(&service, "no descriptor left");
    }
    assert_eq!(service.log().matches("accept_failed").count(), 1);
}

#[test]
fn while_the_process_gets_no_thread() {
    let service = Start::new("serve").env("RUST_MIN_STACK", LARGE_STACK);
    let service = service.serve();
    assert_eq!(get(service.api, "/threads").body, "taken\n");
    admin_answers(&service, "no thread left");
    let (status, log) = service.stop();
    assert!(status.success(), "{status} {log}");
    assert!(!log.contains("cut_off"), "nothing was written: {log}");
}

#[test]
fn a_start_without_a_thread_is_refused_with_what_needs_one() {
    let start = || {
        let start = Start::new("serve").env("RUST_MIN_STACK", LARGE_STACK);
        start.env("WITHOUT_THREADS", "1")
    };
    let reason = start().refused();
    assert!(
        reason.contains("cannot register signal handlers"),
        "{reason}"
    );
    // signals are already watched
    let reason = start().env("BACKGROUND", "ends").refused();
    assert!(reason.contains("the thread of the admin page"), "{reason}");
}
