//! HTTP/2 clients with a behavior that no library has: requests
//! in transit when the server sends GOAWAY, windows without room.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{connect, get, until, until_in_flight};
use crate::process::{Process, Start};

/// Types and flags of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.to_vec(),
        }
    }

    /// Creates a request for `GET /hello`.
    fn request(stream: u32) -> Self {
        Self::get(stream, "/hello")
    }

    /// Creates a request without entries of the dynamic table (RFC 7541, section 6.2.2).
    fn get(stream: u32, path: &str) -> Self {
        let mut head = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        head.extend_from_slice(path.as_bytes());
        head.extend_from_slice(&[0x01, 9]);
        head.extend_from_slice(b"localhost");
        Self::new(HEADERS, END_STREAM | END_HEADERS, stream, &head)
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], self.kind, self.flags];
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).ok()?;
        Some(Self {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Returns the highest stream that a GOAWAY promises to answer.
    fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

/// Connects a client with these settings.
fn client(service: &Process, settings: &[u8]) -> TcpStream {
    let mut client = connect(service.api);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    client.write_all(preface).unwrap();
    let settings = Frame::new(SETTINGS, 0, 0, settings).bytes();
    client.write_all(&settings).unwrap();
    client
}

/// Reads until the body of a response is complete; returns it.
fn body(client: &mut TcpStream, stream: u32) -> Vec<u8> {
    body_and_goaway(client, stream).0
}

/// Returns the body, and the GOAWAY if one arrived before its end.
fn body_and_goaway(client: &mut TcpStream, stream: u32) -> (Vec<u8>, Option<Frame>) {
    let (mut body, mut goaway) = (Vec::new(), None);
    loop {
        let frame = Frame::read(client).unwrap_or_else(|| panic!("closed before {stream} ended"));
        if frame.stream == stream && frame.kind == DATA {
            body.extend_from_slice(&frame.payload);
            if frame.flags & END_STREAM != 0 {
                return (body, goaway);
            }
        } else if frame.kind == GOAWAY {
            goaway = Some(frame);
        }
    }
}

#[test]
fn requests_that_were_written_behind_the_answer_to_the_goaway_are_answered() {
    let service = Start::new("serve").env("OPS_GRACE_SECONDS", "2").serve();
    let mut client = client(&service, &[]);
    client.write_all(&Frame::request(1).bytes()).unwrap();
    assert_eq!(body(&mut client, 1), b"hello\n");

    service.signal(Signal::TERM);
    let mut asked_to_go = false;
    let ping = loop {
        let frame = Frame::read(&mut client).unwrap();
        match frame.kind {
            GOAWAY => {
                assert_eq!(frame.last_stream(), u32::MAX >> 1, "{frame:?}");
                asked_to_go = true;
            }
            PING => break frame,
            _ => {}
        }
    };
    assert!(asked_to_go);
    // as h2 writes them: first the acknowledgment, then the waiting requests, the last of which is cut
    let mut bytes = Frame::new(PING, ACK, 0, &ping.payload).bytes();
    bytes.extend(Frame::request(3).bytes());
    bytes.extend(Frame::request(5).bytes());
    let (first, rest) = bytes.split_at(bytes.len() - 7);
    client.write_all(first).unwrap();
    assert_eq!(body(&mut client, 3), b"hello\n");
    client.write_all(rest).unwrap();
    let (body, before) = body_and_goaway(&mut client, 5);
    assert_eq!(body, b"hello\n");
    // the last GOAWAY may come after the last response, or before it
    let behind = std::iter::from_fn(|| Frame::read(&mut client));
    let last = behind.filter(|frame| frame.kind == GOAWAY).last();
    assert_eq!(last.or(before).unwrap().last_stream(), 5);
    let (status, log) = service.ended();
    assert!(status.success(), "{status}");
    assert_eq!(log.matches("request_completed").count(), 3, "{log}");
}

#[test]
fn a_client_that_was_answered_and_ignores_the_goaway_is_no_request_that_was_cut_off() {
    let service = Start::new("serve").env("OPS_SHUTDOWN_SECONDS", "5").serve();
    let mut client = client(&service, &[]);
    client.write_all(&Frame::request(1).bytes()).unwrap();
    assert_eq!(body(&mut client, 1), b"hello\n");
    let (status, log) = service.stop();
    assert!(status.success(), "{status}");
    assert!(!log.contains("requests_cut_off"), "{log}");
}

#[test]
fn what_a_stop_cuts_off_is_reported_so_before_its_head_and_after() {
    let service = Start::new("serve")
        .env("SLOW_MS", "300000")
        .env("OPS_SHUTDOWN_SECONDS", "5")
        .serve();
    // the initial window (4) of each stream has no byte
    let mut client = client(&service, &[0, 4, 0, 0, 0, 0]);
    client.write_all(&Frame::get(1, "/slow").bytes()).unwrap();
    client.write_all(&Frame::get(3, "/chunks").bytes()).unwrap();
    until_in_flight(service.admin, 2);
    let (status, log) = service.stop();
    assert!(status.success(), "{status}");
    for (path, status) in [("/slow", 503), ("/chunks", 200)] {
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains(&format!(r#""path":"{path}""#)));
        let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
        assert_eq!(line["error_type"], "cut_off", "{line}");
        assert_eq!(line["status"], status, "{line}");
    }
}

#[test]
fn a_client_that_takes_nothing_of_its_response_gives_its_place_back() {
    let limit = Duration::from_millis(500);
    let service = Start::new("serve")
        .env("MAX_IN_FLIGHT", "1")
        .env("WRITE_MS", limit.as_millis().to_string())
        .serve();
    // returns whether the place was seen as taken; on a busy machine it may have been given back already
    let has_place = || {
        // the initial window (4) of each stream has no byte
        let mut client = client(&service, &[0, 4, 0, 0, 0, 0]);
        let begin = Instant::now();
        client.write_all(&Frame::get(1, "/chunks").bytes()).unwrap();
        while Frame::read(&mut client).unwrap().kind != HEADERS {}
        let is_taken = get(service.api, "/hello").status == 503;
        assert!(is_taken || begin.elapsed() >= limit, "it took no place");
        let mut asked_to_go = false;
        while let Some(frame) = Frame::read(&mut client) {
            asked_to_go |= frame.kind == GOAWAY;
        }
        assert!(asked_to_go);
        until(|| get(service.api, "/hello"), |answer| answer.status == 200);
        is_taken
    };
    assert!((0..20).any(|_| has_place()));
}

#[test]
fn a_request_whose_two_hosts_differ_is_refused() {
    let service = Start::new("serve").serve();
    // first byte of a response's head: an entry of the static table (RFC 7541, appendix A)
    let (ok, bad_request) = (0x88, 0x8c);
    let mut client = client(&service, &[]);
    let rows = [
        ("localhost", ok),
        ("LOCALHOST", ok),
        ("localhost:80", ok),
        ("localhost:81", bad_request),
        ("elsewhere", bad_request),
    ];
    for ((host, right), stream) in rows.into_iter().zip((1..).step_by(2)) {
        let mut request = Frame::request(stream);
        request.payload.extend([0x0f, 23]);
        request.payload.push(u8::try_from(host.len()).unwrap());
        request.payload.extend_from_slice(host.as_bytes());
        client.write_all(&request.bytes()).unwrap();
        let is_head = |frame: &Frame| frame.kind == HEADERS && frame.stream == stream;
        let head = std::iter::from_fn(|| Frame::read(&mut client)).find(is_head);
        assert_eq!(head.unwrap().payload[0], right, "{host}");
    }
}
