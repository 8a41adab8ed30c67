//! Minimal HTTP/1.1 client that shows the behavior of a server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longer than anything in these tests takes, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value)
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, "", b"")
}

/// Sends a request to a server that may be killed meanwhile; returns whether the response was complete.
#[cfg(feature = "black-box")]
pub(crate) fn ask(address: SocketAddr, path: &str) -> bool {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let asked = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    asked().is_ok_and(|answer| answer.ends_with(b"hello\n"))
}

/// Sends a request. Each of the header lines ends with CR and LF.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Answer {
    parse(&String::from_utf8_lossy(&exchange(
        address, method, path, headers, body,
    )))
}

/// Returns the bytes of the response, head and body.
pub(crate) fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    let mut stream = connect(address);
    // in one write: on a busy machine, two writes may be far apart
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

pub(crate) fn parse(text: &str) -> Answer {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Waits until the server closes the connection; returns what it sent, and the time since `since`.
pub(crate) fn closed_after(stream: &mut TcpStream, since: Instant) -> (Vec<u8>, Duration) {
    let mut sent = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (sent, since.elapsed()),
            Ok(bytes) => sent.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return (sent, since.elapsed());
            }
            // the process was stopped and continues
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("still open after {:?}: {error}", since.elapsed()),
        }
    }
}

/// Waits until this many requests are in flight.
pub(crate) fn until_in_flight(admin: SocketAddr, count: usize) {
    let metric = format!("\nhttp_requests_in_flight {count}\n");
    until(
        || get(admin, "/metrics"),
        |answer| answer.body.contains(&metric),
    );
}

/// Repeats the request until the response is as wanted.
pub(crate) fn until(mut ask: impl FnMut() -> Answer, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let asked = Instant::now();
    loop {
        let answer = ask();
        if wanted(&answer) {
            return answer;
        }
        assert!(asked.elapsed() < PATIENCE, "{answer:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
