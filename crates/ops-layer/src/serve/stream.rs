use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connections::Slot;

/// A client's TCP stream, which notes what happens on it in the slot of its connection.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    slot: Arc<Slot>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, slot: Arc<Slot>) -> Self {
        Self { tcp, slot }
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
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if polled.is_ready() {
            let read = &buf.filled()[before..];
            if !read.is_empty() {
                self.slot.activity().read(read, Instant::now());
            }
        } else if self.slot.is_closing() {
            // a request may have reached the socket before this task was woken for it
            let unread = SockRef::from(&self.tcp).peek(&mut [MaybeUninit::uninit()]);
            self.slot.activity().unread = unread.is_ok_and(|bytes| bytes > 0);
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    /// Called once the buffers above are empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.tcp).poll_flush(cx));
        self.slot.activity().flushed();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.slot.leave();
    }
}
