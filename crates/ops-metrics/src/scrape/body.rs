use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::scrape::exposition::Exposition;
use crate::scrape::lines::Format;
use crate::scrape::zipped::Zipped;

/// Bytes of text that are written at a time.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Bytes of the first piece, unless it is compressed: a response
/// that fits is sent with its length, as simple clients expect.
const FIRST_BYTES: usize = 256 * 1024;

/// Body of a response of [`serve`](crate::serve), written while it is read.
///
/// It holds at most one piece (256 KiB for the first, then 64 KiB), and 8 bytes for each series of the metric that is
/// being written, however slow the reader is. An exposition of one piece has a known length.
pub struct ScrapeBody {
    next: Option<Bytes>,
    rest: Option<Rest>,
    is_for_head: bool,
}

/// The part that is written later.
struct Rest {
    exposition: Exposition,
    zipped: Option<Zipped>,
}

impl ScrapeBody {
    pub(crate) fn of(text: Bytes) -> Self {
        Self {
            next: (!text.is_empty()).then_some(text),
            rest: None,
            is_for_head: false,
        }
    }

    pub(crate) fn of_metrics(format: Format, zipped: Option<Zipped>) -> Self {
        let mut rest = Rest {
            exposition: Exposition::new(format),
            zipped,
        };
        let (piece, is_last) = rest.piece(FIRST_BYTES);
        Self {
            next: Some(piece),
            rest: (!is_last).then_some(rest),
            is_for_head: false,
        }
    }

    /// Returns the body of a response to `HEAD`: empty, and of
    /// unknown length, so that no server declares a length of 0.
    pub(crate) fn for_head() -> Self {
        Self {
            next: None,
            rest: None,
            is_for_head: true,
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.next.take() {
            return Some(piece);
        }
        let (piece, is_last) = self.rest.as_mut()?.piece(PIECE_BYTES);
        if is_last {
            self.rest = None;
        }
        Some(piece)
    }
}

impl Rest {
    /// Returns the next piece, and whether it is the last one.
    fn piece(&mut self, enough: usize) -> (Bytes, bool) {
        if let Some(zipped) = &mut self.zipped {
            return zipped.piece(&mut self.exposition);
        }
        let mut text = String::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        self.exposition.fill(&mut text, enough);
        (text.into(), self.exposition.is_done())
    }
}

impl Body for ScrapeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.rest.is_none() && !self.is_for_head
    }

    fn size_hint(&self) -> SizeHint {
        let known = self.next.as_ref().map_or(0, Bytes::len) as u64;
        let mut hint = SizeHint::with_exact(known);
        if self.rest.is_some() || self.is_for_head {
            hint = SizeHint::new();
            hint.set_lower(known);
        }
        hint
    }
}

impl fmt::Debug for ScrapeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrapeBody")
            .field("size", &self.size_hint())
            .finish_non_exhaustive()
    }
}
