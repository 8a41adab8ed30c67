//! A local AWS: moto, if `cargo xtask setup` could install it.
#![expect(clippy::unwrap_used, reason = "a test ends where its server fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::tool;

/// A running server; stopped on drop.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    /// URL of the server.
    pub url: String,
}

/// Objects are private: requests need credentials, which moto does not verify.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                             SignedHeaders=host, Signature=0";

/// Shared server: starting takes seconds, so tests that run at the same time share one.
static RUNNING: Mutex<Weak<Moto>> = Mutex::new(Weak::new());

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// Starts moto. `None`, with a line on standard output, if it is not installed.
    ///
    /// # Panics
    ///
    /// Panics if it does not start, or if it is not installed although required.
    pub fn start() -> Option<Self> {
        let program = tool::find("python/bin/moto_server", "cargo xtask setup")?;
        let mut child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url =
            lines.find_map(|line| Some(line.ok()?.split_once("Running on ")?.1.trim().to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let url = url.unwrap();
        Some(Self { child, url })
    }

    /// Returns the running server, or starts one as [`start`](Self::start) does.
    ///
    /// # Panics
    ///
    /// Panics as `start` does.
    pub fn shared() -> Option<Arc<Self>> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(moto) = running.upgrade() {
            return Some(moto);
        }
        let moto = Arc::new(Self::start()?);
        *running = Arc::downgrade(&moto);
        Some(moto)
    }

    /// Creates a bucket.
    ///
    /// # Panics
    ///
    /// Panics unless moto responds with success; so does each call below.
    pub fn bucket(&self, name: &str) {
        self.ask("PUT", &format!("/{name}"), b"");
    }

    /// Returns the names of the objects in a bucket.
    pub fn names(&self, bucket: &str) -> Vec<String> {
        let text = self.ask("GET", &format!("/{bucket}?list-type=2"), b"");
        let text = String::from_utf8_lossy(&text);
        let names = text.split("<Key>").skip(1);
        let names = names.filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()));
        names.collect()
    }

    /// Returns the content of an object.
    pub fn read(&self, bucket: &str, name: &str) -> Vec<u8> {
        self.ask("GET", &format!("/{bucket}/{name}"), b"")
    }

    /// Writes an object.
    pub fn write(&self, bucket: &str, name: &str, bytes: &[u8]) {
        self.ask("PUT", &format!("/{bucket}/{name}"), bytes);
    }

    /// Removes an object.
    pub fn remove(&self, bucket: &str, name: &str) {
        self.ask("DELETE", &format!("/{bucket}/{name}"), b"");
    }

    /// Sends a request and returns the body of the response.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let host = self.url.trim_start_matches("http://").trim_end_matches('/');
        let length = body.len();
        // version 1.0: the response is neither chunked nor kept open
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: {AUTHORIZATION}\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let body = answer.split_off(end.unwrap() + 4);
        let head = String::from_utf8_lossy(&answer);
        let status = head.split(' ').nth(1);
        let is_done = matches!(status, Some("200" | "204"));
        assert!(is_done, "{method} {path}: {head}");
        body
    }
}
