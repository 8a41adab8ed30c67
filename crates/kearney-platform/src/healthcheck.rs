//! `kearney-platform healthcheck`: for images and schedulers without an HTTP client.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::args::Healthcheck;
use crate::error::{Error, Kind, Result};

/// Time limit of the whole check, below the 5 s of the image's health check.
const WITHIN: Duration = Duration::from_secs(4);
/// Maximum number of bytes read of a response.
const MAX_ANSWER_BYTES: usize = 4096;

/// Fails unless `/livez` responds as this platform does: with 200 and `ok`.
pub fn run(options: &Healthcheck) -> Result<()> {
    let address = SocketAddr::from((reachable(options.host), options.port));
    let answer = ask(address).map_err(|error| {
        let message = format!("http://{address}/livez does not respond");
        Error::new(Kind::Service, message).because(error)
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let line = head.lines().next().unwrap_or_default();
    let message = match (line.strip_prefix("HTTP/1."), body) {
        (Some(rest), "ok\n") if rest.split(' ').nth(1) == Some("200") => return Ok(()),
        (Some(rest), _) if rest.split(' ').nth(1) == Some("200") => {
            format!("http://{address}/livez: status 200, but the body is not this platform's")
        }
        _ => format!("http://{address}/livez: {line:?}"),
    };
    Err(Error::new(Kind::Service, message))
}

/// Replaces an address that means all interfaces with loopback.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let until = Instant::now() + WITHIN;
    let mut stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_write_timeout(Some(WITHIN))?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while answer.len() < MAX_ANSWER_BYTES {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => answer.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(timed_out()),
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn timed_out() -> io::Error {
    let message = format!("no complete response within {} s", WITHIN.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, message)
}
