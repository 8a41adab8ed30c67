//! A collector that discards all spans.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Starts a collector on a free port of loopback. It responds to every HTTP request with 200 and discards the body,
/// until the process ends.
///
/// # Errors
/// Fails if no port can be bound.
pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(connection) = connection else { break };
            thread::spawn(|| answer(connection));
        }
    });
    Ok(address)
}

fn answer(mut connection: TcpStream) -> io::Result<()> {
    let mut requests = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(("content-length", value)) = line.to_lowercase().split_once(':') {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut (&mut requests).take(length), &mut io::sink())?;
        connection.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        )?;
    }
}
