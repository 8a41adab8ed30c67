//! Requests at a constant rate, independent of the duration of responses: each is due at a fixed time.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Number of connections, each with a thread.
const CONNECTIONS: u32 = 32;
/// Step that distributes the paths over the requests, coprime to their number.
const STEP: u32 = 7;

/// A request and its outcome.
pub(super) struct Seen {
    pub(super) at: Instant,
    /// Index of its path.
    pub(super) path: usize,
    pub(super) answer: Result<Answer>,
}

#[derive(Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) is_hit: bool,
    pub(super) etag: String,
}

/// A load that runs until it is ended.
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Seen>>>,
}

impl Load {
    /// Requests the paths in turn, `rate` times a second.
    pub(super) fn start(host: &str, paths: &[String], rate: u32) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let start = Instant::now();
        let threads = (0..CONNECTIONS).map(|number| {
            let (is_over, host, paths) = (is_over.clone(), host.to_owned(), paths.to_vec());
            std::thread::spawn(move || {
                let mut connection = None;
                let (mut seen, mut request) = (Vec::new(), number);
                while !is_over.load(Ordering::Relaxed) {
                    let due = start + Duration::from_secs(1) * request / rate;
                    while let Some(left) = due.checked_duration_since(Instant::now()) {
                        std::thread::park_timeout(left);
                    }
                    let path = (request * STEP) as usize % paths.len();
                    let at = Instant::now();
                    let answer = ask(&mut connection, &host, &paths[path]);
                    seen.push(Seen { at, path, answer });
                    request += CONNECTIONS;
                }
                seen
            })
        });
        let threads = threads.collect();
        Self { is_over, threads }
    }

    /// Ends the load, and returns all requests.
    pub(super) fn end(self) -> Vec<Seen> {
        self.is_over.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads.flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Sends one request without retries, and reads its response. A failed connection is not reused.
fn ask(connection: &mut Option<BufReader<TcpStream>>, host: &str, path: &str) -> Result<Answer> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(host)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            BufReader::new(stream)
        }
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(Error::other(format!("it ended within the head: {head:?}")));
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_ascii_lowercase());
    }
    let of = |name: &str| {
        head.iter()
            .find_map(|line| Some(line.strip_prefix(name)?.trim()))
    };
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u16>().ok());
    let length = number(of("content-length:"));
    let length = length.ok_or_else(|| Error::other(format!("no length in {head:?}")))?;
    let mut body = vec![0; length.into()];
    stream.read_exact(&mut body)?;
    let answer = Answer {
        status: number(head[0].split(' ').nth(1)).unwrap_or_default(),
        is_hit: of("x-cache:") == Some("hit"),
        etag: of("etag:").unwrap_or_default().to_owned(),
    };
    if of("connection:") != Some("close") {
        *connection = Some(stream);
    }
    Ok(answer)
}
