use std::convert::Infallible;
use std::fmt;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame, SizeHint};

use crate::scrape::exposition::Exposition;
use crate::scrape::lines::Format;

/// Bytes of a piece, which are written at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes of the first piece, unless it is zipped: an answer that has no more is sent with its length, as simple clients expect it.
const FIRST_BYTES: usize = 256 * 1024;

/// Body of an answer of [`serve`](crate::serve), written while it is read.
///
/// Besides a piece (256 KiB for the first, then 64 KiB), no more is held than 8 bytes for each series of the metric that is being
/// written, however slow the reader is. An exposition of one piece has a known length.
pub struct ScrapeBody {
    next: Option<Bytes>,
    rest: Option<Rest>,
    is_left_out: bool,
}

/// All that is written later.
struct Rest {
    exposition: Exposition,
    text: String,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl ScrapeBody {
    pub(crate) fn of(text: Bytes) -> Self {
        Self {
            next: (!text.is_empty()).then_some(text),
            rest: None,
            is_left_out: false,
        }
    }

    pub(crate) fn of_metrics(format: Format, gzip: bool) -> Self {
        let mut rest = Rest {
            exposition: Exposition::new(format),
            text: String::new(),
            gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
        };
        let (piece, is_last) = rest.piece(FIRST_BYTES);
        Self {
            next: Some(piece),
            rest: (!is_last).then_some(rest),
            is_left_out: false,
        }
    }

    /// Returns the body of an answer to `HEAD`: empty, and of unknown length, so that no server declares a length of 0.
    pub(crate) fn left_out() -> Self {
        Self {
            next: None,
            rest: None,
            is_left_out: true,
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
        let Some(gzip) = &mut self.gzip else {
            let mut text = String::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
            self.exposition.fill(&mut text, enough);
            return (text.into(), self.exposition.is_done());
        };
        self.text.clear();
        self.exposition.fill(&mut self.text, PIECE_BYTES);
        // writing to memory does not fail; flushed, a piece of text is a piece of the answer however small it became
        drop(gzip.write_all(self.text.as_bytes()));
        drop(gzip.flush());
        let is_last = self.exposition.is_done();
        if is_last {
            drop(gzip.try_finish());
        }
        (std::mem::take(gzip.get_mut()).into(), is_last)
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
        self.next.is_none() && self.rest.is_none() && !self.is_left_out
    }

    fn size_hint(&self) -> SizeHint {
        let known = self.next.as_ref().map_or(0, Bytes::len) as u64;
        let mut hint = SizeHint::with_exact(known);
        if self.rest.is_some() || self.is_left_out {
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
