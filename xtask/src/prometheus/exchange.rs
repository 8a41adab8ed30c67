//! A minimal HTTP client: one request and its response.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Headers, each with its line end.
    pub(super) headers: &'a str,
    pub(super) body: &'a str,
}

impl<'a> Request<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            headers: "",
            body: "",
        }
    }

    /// Sends the request to `host:port` and reads the response.
    pub(super) fn send(&self, host: &str) -> std::io::Result<Answer> {
        let mut stream = self.write_to(host)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Ok(Answer {
            status: status.ok_or_else(|| std::io::Error::other("no status line"))?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    /// Sends the request, reads the start of the response, and closes the connection.
    pub(super) fn send_and_leave(&self, host: &str) -> std::io::Result<()> {
        self.write_to(host)?.read_exact(&mut [0; 200])
    }

    fn write_to(&self, host: &str) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Self {
            method,
            path,
            headers,
            body,
        } = self;
        let length = body.len();
        // HTTP/1.0: the response is neither chunked nor kept open
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )?;
        Ok(stream)
    }
}

/// A response.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim().to_owned())
    }
}
