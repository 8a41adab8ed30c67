use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{PATIENCE, closed_after, connect, get, parse, request, until, until_in_flight};
use crate::process::{Process, Start};

/// First bytes of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Returns the time limit of heads: short by default, the real one in a full run.
fn head_limit() -> Duration {
    match std::env::var_os("OPS_TEST_FULL") {
        Some(_) => Duration::from_secs(10),
        None => Duration::from_millis(800),
    }
}

fn service() -> Process {
    let start = match std::env::var_os("OPS_TEST_FULL") {
        // uses the default limit
        Some(_) => Start::new("serve"),
        None => Start::new("serve").env("HEAD_MS", head_limit().as_millis().to_string()),
    };
    start.serve()
}

fn half_sent() -> Vec<Vec<u8>> {
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // HEADERS that announces 20 bytes and has three; HEADERS without END_HEADERS
    let half: &[u8] = &[0, 0, 20, 1, 4, 0, 0, 0, 1, 0x82, 0x86, 0x84];
    let continued: &[u8] = &[0, 0, 3, 1, 1, 0, 0, 0, 1, 0x82, 0x86, 0x84];
    vec![
        b"".to_vec(),
        b"G".to_vec(),
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\n".to_vec(),
        PREFACE[..10].to_vec(),
        PREFACE[..23].to_vec(),
        [PREFACE, settings, half].concat(),
        [PREFACE, settings, continued].concat(),
    ]
}

#[test]
fn a_head_that_is_not_complete_in_time_closes_its_connection_on_both_listeners() {
    let service = service();
    let limit = head_limit();
    let check = |address: SocketAddr, bytes: &[u8]| {
        let since = Instant::now();
        let mut stream = connect(address);
        stream.write_all(bytes).unwrap();
        let (_, elapsed) = closed_after(&mut stream, since);
        let shown = String::from_utf8_lossy(bytes).into_owned();
        println!("closed after {elapsed:?}: {shown:?}");
        assert!(
            elapsed + Duration::from_millis(50) >= limit,
            "{shown:?}: {elapsed:?}"
        );
        // less than the 75 s of an idle connection
        assert!(elapsed < PATIENCE, "{shown:?}: {elapsed:?}");
    };
    std::thread::scope(|scope| {
        for address in [service.api, service.admin] {
            for bytes in half_sent() {
                let check = &check;
                scope.spawn(move || check(address, &bytes));
            }
        }
    });
    assert_eq!(get(service.api, "/hello").status, 200);
}

#[test]
fn a_head_is_bound_from_its_first_byte_and_the_time_before_it_is_idle() {
    let service = Start::new("serve")
        .env("HEAD_MS", "1500")
        .env("IDLE_MS", "300000")
        .serve();
    let mut stream = connect(service.api);
    let mut buffer = [0; 4096];
    for _ in 0..2 {
        stream
            .write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let read = stream.read(&mut buffer).unwrap();
        assert_eq!(parse(&String::from_utf8_lossy(&buffer[..read])).status, 200);
        // longer than the limit of a head, shorter than that of an idle connection
        std::thread::sleep(Duration::from_secs(2));
    }
    let since = Instant::now();
    stream.write_all(b"GET /hel").unwrap();
    let (_, elapsed) = closed_after(&mut stream, since);
    assert!(elapsed >= Duration::from_millis(1450), "{elapsed:?}");
    assert!(elapsed < PATIENCE, "{elapsed:?}");
}

#[test]
fn an_idle_connection_is_closed_after_its_limit() {
    let service = Start::new("serve").env("IDLE_MS", "600").serve();
    let mut stream = connect(service.api);
    stream
        .write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let since = Instant::now();
    let (sent, elapsed) = closed_after(&mut stream, since);
    assert_eq!(parse(&String::from_utf8_lossy(&sent)).status, 200);
    assert!(elapsed >= Duration::from_millis(550), "{elapsed:?}");
    // less than the default idle limit of 75 s
    assert!(elapsed < PATIENCE, "{elapsed:?}");
}

#[test]
fn a_request_longer_than_every_limit_of_waiting_is_answered() {
    let service = Start::new("serve")
        .env("HEAD_MS", "1000")
        .env("IDLE_MS", "1000")
        .env("SLOW_MS", "3000")
        .serve();
    assert_eq!(get(service.api, "/slow").body, "slow\n");
}

#[test]
fn a_body_that_stops_arriving_is_answered_with_408_and_one_that_arrives_is_read() {
    let service = Start::new("serve").env("BODY_MS", "2000").serve();
    let json = "X-Ops-Admin: 1\r\nContent-Type: application/json\r\n";
    // the page has few connections, each of which one client could occupy forever
    for (address, path, headers) in [
        (service.api, "/length", ""),
        (service.admin, "/api/level", json),
    ] {
        let mut stream = connect(address);
        let since = Instant::now();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 100\r\n\r\nhalf"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let (sent, elapsed) = closed_after(&mut stream, since);
        let answer = parse(&String::from_utf8_lossy(&sent));
        assert_eq!(answer.status, 408, "{path}: {answer:?}");
        let kept = if path == "/length" { "" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), kept);
        assert!(elapsed >= Duration::from_millis(1950), "{elapsed:?}");
        // less than the default limit of 30 s
        assert!(elapsed < Duration::from_secs(29), "{elapsed:?}");
    }
    let whole = request(service.api, "POST", "/length", "", &vec![b'x'; 1 << 20]);
    assert_eq!((whole.status, whole.body.as_str()), (200, "1048576"));
    let level = br#"{"level": "debug", "why": "a body that arrives"}"#;
    let whole = request(service.admin, "POST", "/api/level", json, level);
    assert_eq!(whole.status, 200, "{whole:?}");
}

#[test]
fn what_is_too_slow_or_too_much_is_refused_with_retry_after_and_probes_never_are() {
    let service = Start::new("serve")
        .env("TIMEOUT_MS", "100")
        // never in time, however long this machine pauses
        .env("SLOW_MS", "600000")
        .serve();
    let late = get(service.api, "/slow");
    assert_eq!((late.status, late.header("retry-after")), (503, "1"));

    let service = Start::new("serve")
        .env("MAX_IN_FLIGHT", "1")
        .env("BODY_MS", "300000")
        .serve();
    // in flight until the rest of its body arrives
    let mut held = connect(service.api);
    held.write_all(b"POST /length HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhalf")
        .unwrap();
    until_in_flight(service.admin, 1);
    for _ in 0..8 {
        let refused = get(service.api, "/slow");
        assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
        assert_eq!(get(service.api, "/healthz").status, 200);
    }
    held.write_all(b"half").unwrap();
    let (answer, _) = closed_after(&mut held, Instant::now());
    let answer = parse(&String::from_utf8_lossy(&answer));
    assert_eq!((answer.status, answer.body.as_str()), (200, "8"));
    // its place was given back
    assert_eq!(get(service.api, "/slow").status, 200);
}

#[test]
fn one_connection_too_many_takes_the_place_of_the_one_that_was_idle_for_longest() {
    let service = Start::new("serve").env("MAX_CONNECTIONS", "4").serve();
    let mut kept: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connect(service.api);
            stream
                .write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .unwrap();
            let read = stream.read(&mut [0; 4096]).unwrap();
            assert!(read > 0);
            // each is idle before the next one
            until_in_flight(service.admin, 0);
            stream
        })
        .collect();
    assert_eq!(get(service.api, "/hello").status, 200);
    let (sent, _) = closed_after(&mut kept[0], Instant::now());
    assert!(sent.is_empty());
    // the newest is still served
    kept[3]
        .write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert!(kept[3].read(&mut [0; 4096]).unwrap() > 0);
}

#[test]
fn a_connection_that_switched_its_protocol_makes_no_room_and_holds_up_no_other() {
    let service = Start::new("serve").env("MAX_CONNECTIONS", "3").serve();
    let mut switched = connect(service.api);
    switched
        .write_all(b"GET /switch HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: silence\r\n\r\n")
        .unwrap();
    let mut head = [0; 12];
    switched.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    // idle connections, each of which is closed for the next one,
    // although the switched one has been without a request longer
    let mut idle = Vec::new();
    for _ in 0..6 {
        let mut stream = connect(service.api);
        stream
            .write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        idle.push(stream);
    }
    // it is still open
    switched
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut rest = Vec::new();
    let open = switched.read_to_end(&mut rest).unwrap_err().kind();
    assert!(
        matches!(
            open,
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
        "{open}"
    );
}

#[test]
fn very_long_timeouts_count_as_unlimited() {
    let service = Start::new("serve").env("FOREVER", "1").serve();
    assert_eq!(request(service.api, "POST", "/length", "", b"12").body, "2");
    assert_eq!(get(service.admin, "/healthz").status, 200);
    service.signal(rustix::process::Signal::TERM);
    until(
        || get(service.api, "/readyz"),
        |answer| answer.status == 503,
    );
}

#[test]
fn a_layer_of_a_route_keeps_its_state_from_one_request_to_the_next() {
    let service = Start::new("serve").serve();
    for number in ["1", "2", "3"] {
        assert_eq!(get(service.api, "/served").body, number);
    }
}
