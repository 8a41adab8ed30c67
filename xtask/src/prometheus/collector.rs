//! A collector that takes every span and keeps none, for checks of a healthy platform: OTLP over HTTP, answered with 200.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::Result;

/// Bytes of one request that are read; a larger one ends its connection.
const BODY_MAX: u64 = 64 << 20;

/// Starts it on a free port, for as long as this process lives, and returns its address.
pub(crate) fn start() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0");
    let listener = listener.map_err(|e| format!("cannot start a collector: {e}"))?;
    let address = listener
        .local_addr()
        .map_err(|e| format!("a collector's address: {e}"))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // a connection that fails is the platform's to open again
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(format!("http://{address}"))
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(length) = head(&mut reader)? {
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        reader.get_mut().write_all(answer)?;
    }
    Ok(())
}

/// The length of the body behind the next head; `None` at the end of the connection.
fn head(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<u64>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(Some(length).filter(|length| *length <= BODY_MAX));
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
}
