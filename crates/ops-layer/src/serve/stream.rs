use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::connections::Slot;

/// Time that a client has to read its last response and close.
const LINGER: Duration = Duration::from_secs(1);

/// A client's TCP stream, which notes what happens on it in the slot of its connection.
#[derive(Debug)]
pub(super) struct Stream {
    /// Set until the stream is dropped.
    tcp: Option<TcpStream>,
    slot: Arc<Slot>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, slot: Arc<Slot>) -> Self {
        Self {
            tcp: Some(tcp),
            slot,
        }
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.tcp {
            Some(tcp) => Ok(Pin::new(tcp)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
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
        let polled = self.tcp()?.poll_read(cx, buf);
        if polled.is_ready() {
            let read = &buf.filled()[before..];
            if !read.is_empty() {
                self.slot.activity().read(read, Instant::now());
            }
        } else if self.slot.is_closing() {
            // a request may have reached the socket before this task was woken for it
            let unread = SockRef::from(&*self.tcp()?).peek(&mut [MaybeUninit::uninit()]);
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
        self.slot.activity().flushed();
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

/// Ends the stream and reads what the client still sends: to close a socket with unread bytes resets the connection, and
/// with it goes what the client has not read of its last response.
async fn linger(mut tcp: TcpStream) {
    let read = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await
    };
    // a client that does not close is left to itself
    let _ = tokio::time::timeout(LINGER, read).await;
}
