use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::connections::Slot;

/// Length of a PING acknowledgment (RFC 9113, section 6.7).
const PONG_BYTES: usize = 9 + 8;
/// Time for a client to read its last response and close.
const LINGER: Duration = Duration::from_secs(1);

/// TCP stream of a client, which records its activity in the slot of its connection.
#[derive(Debug)]
pub(super) struct Stream {
    /// Set until the stream is dropped.
    tcp: Option<TcpStream>,
    slot: Arc<Slot>,
    /// PING acknowledgment that is held back until everything else that arrived is passed on; empty if there is none.
    ///
    /// With the acknowledgment of the PING after its GOAWAY, hyper decides which
    /// requests it still accepts. Clients write it first (h2, for one), and after it,
    /// in the same segment, requests that waited to be written: those are accepted too.
    pong: Vec<u8>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, slot: Arc<Slot>) -> Self {
        Self {
            tcp: Some(tcp),
            slot,
            pong: Vec::new(),
        }
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.tcp {
            Some(tcp) => Ok(Pin::new(tcp)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Removes a PING acknowledgment from the bytes that were read.
    fn hold(&mut self, buf: &mut ReadBuf<'_>, pong: Range<usize>) {
        let read = buf.filled_mut();
        let left = read.len() - pong.len();
        self.pong.extend_from_slice(&read[pong.clone()]);
        read.copy_within(pong.end.., pong.start);
        buf.set_filled(left);
    }

    /// Passes on the rest of the acknowledgment that was held back.
    fn release(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let length = self.pong.len().min(buf.remaining());
        buf.put_slice(&self.pong[..length]);
        self.pong.drain(..length);
        Poll::Ready(Ok(()))
    }

    fn wrote<T>(&self, written: &Poll<io::Result<T>>) {
        let mut activity = self.slot.activity();
        match written {
            Poll::Pending => activity.write_blocked(Instant::now()),
            Poll::Ready(_) => activity.wrote(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.pong.is_empty() && self.pong.len() < PONG_BYTES {
            return self.release(buf);
        }
        let before = buf.filled().len();
        while self.tcp()?.poll_read(cx, buf)?.is_ready() {
            let read = &buf.filled()[before..];
            if read.is_empty() {
                return Poll::Ready(Ok(())); // the client sends no more
            }
            let pong = self.slot.activity().read(read, Instant::now());
            if let Some(pong) = pong
                && self.pong.is_empty()
                && self.slot.is_draining()
            {
                self.hold(buf, before + pong.start..before + pong.end);
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
        if self.slot.is_closing() {
            // a request may have reached the socket before this task was woken for it
            let unread = SockRef::from(&*self.tcp()?).peek(&mut [MaybeUninit::uninit()]);
            self.slot.activity().unread = unread.is_ok_and(|bytes| bytes > 0);
        }
        // never inside another frame
        if self.pong.is_empty() || !self.slot.activity().is_between_frames() {
            return Poll::Pending;
        }
        self.release(buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.tcp()?.poll_write(cx, buf);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.tcp()?.poll_write_vectored(cx, bufs);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    /// Called once the buffers above are empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.tcp()?.poll_flush(cx));
        self.slot.activity().flushed(Instant::now);
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_shutdown(cx)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let slot = self.slot.clone();
        match (self.tcp.take(), Handle::try_current()) {
            (Some(tcp), Ok(runtime)) if slot.lingers() => {
                runtime.spawn(async move {
                    linger(tcp).await;
                    slot.leave();
                });
            }
            _ => slot.leave(),
        }
    }
}

/// Shuts the stream down and reads what the client still sends: closing a socket with unread bytes
/// resets the connection, and the client loses the part of its last response that it has not read.
async fn linger(mut tcp: TcpStream) {
    let read = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await
    };
    // a client that does not close is not waited for
    let _ = tokio::time::timeout(LINGER, read).await;
}
