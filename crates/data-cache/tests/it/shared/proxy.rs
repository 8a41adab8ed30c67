//! A proxy in front of an S3 server that injects network faults.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Everything passes.
    None,
    /// No response, ever.
    Hang,
    /// The request passes once another fault is set.
    Hold,
    /// A response with this status, without a call to the server.
    Status(u16),
    /// [`Status`](Self::Status) with this text after the status line.
    Answer(u16, &'static str),
    /// The request is executed, and its response lost, for the next requests.
    LoseAnswers(usize),
    /// The response ends in the middle of its body.
    Cut,
    /// The end of the response body never arrives.
    Stall,
    /// Writes are executed whatever their condition is.
    IgnoreConditions,
}

pub(super) struct Proxy {
    pub(super) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    behind: String,
    /// Method and part of the path of the affected requests, empty for all of them.
    fault: Mutex<(&'static str, &'static str, Fault)>,
    /// Method and path of each request.
    seen: Mutex<Vec<String>>,
    hanging: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(super) fn new(behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            behind: behind.trim_start_matches("http://").to_owned(),
            fault: Mutex::new(("", "", Fault::None)),
            seen: Mutex::default(),
            hanging: Mutex::default(),
        });
        let serving = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), Some(shared)) = (stream, serving.upgrade()) else {
                    return;
                };
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { url, shared }
    }

    pub(super) fn set(&self, fault: Fault) {
        self.set_for("", "", fault);
    }

    /// Applies the fault only to requests with this method and with this in their path.
    pub(super) fn set_for(&self, method: &'static str, path: &'static str, fault: Fault) {
        *self.shared.fault.lock().unwrap() = (method, path, fault);
    }

    /// Number of requests so far with this method, and with this in their path.
    pub(super) fn count(&self, method: &str, path: &str) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        let is_meant = |seen: &&String| seen.starts_with(method) && seen.contains(path);
        seen.iter().filter(is_meant).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Fault::None);
        self.shared.hanging.lock().unwrap().clear();
        // wakes the listener, which then ends
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl Shared {
    /// Serves one request of one connection.
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            if !lower.starts_with("connection:") {
                head.push_str(&line);
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let request = head.lines().next().unwrap().to_owned();
        let mut fault = self.fault_of(&request);
        self.seen.lock().unwrap().push(request.clone());
        while fault == Fault::Hold {
            std::thread::park_timeout(Duration::from_millis(1));
            fault = self.fault_of(&request);
        }
        let refuse = |mut stream: TcpStream, status: u16, body: &str| {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} Broken\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes());
        };
        match fault {
            Fault::Hang => return self.hanging.lock().unwrap().push(stream),
            Fault::Status(status) => return refuse(stream, status, ""),
            Fault::Answer(status, body) => return refuse(stream, status, body),
            Fault::IgnoreConditions => {
                let is_condition = |line: &str| line.to_lowercase().starts_with("if-");
                head = head
                    .split_inclusive("\r\n")
                    .filter(|line| !is_condition(line))
                    .collect();
            }
            Fault::None | Fault::Hold | Fault::Cut | Fault::Stall | Fault::LoseAnswers(_) => {}
        }
        let Ok(mut behind) = TcpStream::connect(&self.behind) else {
            return;
        };
        let head = format!("{head}connection: close\r\n\r\n");
        let mut answer = Vec::new();
        let asked = behind
            .write_all(head.as_bytes())
            .and_then(|()| behind.write_all(&body))
            .and_then(|()| behind.read_to_end(&mut answer));
        match fault {
            Fault::LoseAnswers(_) => {}
            Fault::Cut | Fault::Stall => {
                let end = answer.len().saturating_sub(100);
                let _ = stream.write_all(&answer[..end]);
                if fault == Fault::Stall {
                    self.hanging.lock().unwrap().push(stream);
                }
            }
            _ if asked.is_ok() => {
                let _ = stream.write_all(&answer);
            }
            _ => {}
        }
    }

    fn fault_of(&self, request: &str) -> Fault {
        let mut fault = self.fault.lock().unwrap();
        if !request.starts_with(fault.0) || !request.contains(fault.1) {
            return Fault::None;
        }
        let now = fault.2;
        if let Fault::LoseAnswers(left) = now {
            fault.2 = match left {
                0 | 1 => Fault::None,
                left => Fault::LoseAnswers(left - 1),
            };
        }
        now
    }
}
