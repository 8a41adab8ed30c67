//! Connection of a client that records which HTTP/2 frames pass.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Number of bytes that a client sends before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// Types of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// Frames of one connection so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Number of requests that were sent.
    pub(crate) requests: usize,
    /// Number of those sent after the server's GOAWAY had been read, which is forbidden.
    pub(crate) after_goaway: usize,
    pub(crate) goaway: bool,
}

pub(crate) struct Wire {
    tcp: TcpStream,
    read: Frames,
    written: Frames,
    seen: Arc<Mutex<Seen>>,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::<Mutex<Seen>>::default();
        let wire = Self {
            tcp,
            read: Frames::after(0),
            written: Frames::after(PREFACE),
            seen: seen.clone(),
        };
        (wire, seen)
    }
}

/// Boundaries of frames in a stream of bytes.
struct Frames {
    skip: usize,
    head: Vec<u8>,
}

impl Frames {
    fn after(skip: usize) -> Self {
        Self {
            skip,
            head: Vec::with_capacity(9),
        }
    }

    /// Returns the types of the frames whose heads are complete with these bytes.
    fn types(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut types = Vec::new();
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (9 - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [high, middle, low, kind, ..] = self.head[..]
                && self.head.len() == 9
            {
                types.push(kind);
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.head.clear();
            }
        }
        types
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        let types = self.read.types(&buf.filled()[before..]);
        if types.contains(&GOAWAY) {
            self.seen.lock().unwrap().goaway = true;
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        if let Poll::Ready(Ok(length)) = written {
            let types = self.written.types(&bytes[..length]);
            let requests = types.into_iter().filter(|kind| *kind == HEADERS).count();
            let mut seen = self.seen.lock().unwrap();
            seen.requests += requests;
            if seen.goaway {
                seen.after_goaway += requests;
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
