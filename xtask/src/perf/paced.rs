//! Requests at a constant rate, independent of response times: each is due at a fixed time, from which its latency is
//! measured.

use crate::Result;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Number of connections, each with a thread; at the intended rate a tenth of them is busy.
const CONNECTIONS: u32 = 32;

/// Requests a path at this rate for a while; returns the sorted latencies in seconds.
pub(super) fn ask(api: &str, path: &str, rate: u32, lasts: Duration) -> Result<Vec<f64>> {
    let host = api.trim_start_matches("http://");
    let start = Instant::now() + Duration::from_millis(20);
    let pause = Duration::from_secs(1) / rate;
    let one = |number: u32| {
        let mut connection = Connection::open(host, path)?;
        let mut latencies = Vec::new();
        for turn in 0.. {
            let due = pause * (number + turn * CONNECTIONS);
            if due >= lasts {
                return Ok(latencies);
            }
            let due = start + due;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            connection.ask()?;
            latencies.push(due.elapsed().as_secs_f64());
        }
        Ok(latencies)
    };
    std::thread::scope(|scope| {
        let threads = (0..CONNECTIONS).map(|number| scope.spawn(move || one(number)));
        let threads: Vec<_> = threads.collect();
        let mut all = Vec::new();
        for thread in threads {
            let done = thread.join().map_err(|_| "a client panicked".to_owned())?;
            all.extend(done.map_err(|e: std::io::Error| format!("GET {api}{path}: {e}"))?);
        }
        all.sort_by(f64::total_cmp);
        Ok(all)
    })
}

struct Connection {
    stream: BufReader<TcpStream>,
    request: String,
    body: Vec<u8>,
}

impl Connection {
    fn open(host: &str, path: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self {
            stream: BufReader::new(stream),
            request: format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            body: Vec::new(),
        })
    }

    /// Sends a request. Any response other than a 200 with a length is an error.
    fn ask(&mut self) -> std::io::Result<()> {
        self.stream.get_mut().write_all(self.request.as_bytes())?;
        let wrong = |line: &str| std::io::Error::other(format!("unexpected response: {line:?}"));
        let (mut line, mut length) = (String::new(), None);
        self.stream.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200") {
            return Err(wrong(&line));
        }
        while line != "\r\n" {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(wrong(&line));
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok();
            }
        }
        self.body
            .resize(length.ok_or_else(|| wrong("no length"))?, 0);
        self.stream.read_exact(&mut self.body)
    }
}
