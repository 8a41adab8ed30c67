//! `kearney-platform healthcheck`: for images and schedulers that have no HTTP client of their own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::args::Healthcheck;
use crate::error::{Error, Kind, Result};

/// Limit of each step: connecting, writing, reading.
const WITHIN: Duration = Duration::from_secs(2);
/// Bytes that are read of an answer.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Fails unless the platform answers `/livez` with 200.
pub fn run(options: &Healthcheck) -> Result<()> {
    let address = SocketAddr::from((reachable(options.host), options.port));
    let answer = ask(address).map_err(|error| {
        let told = format!("http://{address}/livez does not answer");
        Error::new(Kind::Service, told).because(error)
    })?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => {
            let line = answer.lines().next().unwrap_or_default();
            let told = format!("http://{address}/livez: {line:?}");
            Err(Error::new(Kind::Service, told))
        }
    }
}

/// An address that stands for every interface is reached over loopback.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    write!(
        stream,
        "GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
