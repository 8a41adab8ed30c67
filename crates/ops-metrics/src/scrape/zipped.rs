use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;

use crate::scrape::accept;
use crate::scrape::body::PIECE_BYTES;
use crate::scrape::exposition::Exposition;

/// Compression of a response that is written while it is read.
pub(crate) struct Zipped {
    text: String,
    encoder: GzEncoder<Vec<u8>>,
}

/// Returns whether a response to these headers is compressed.
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    accept::takes_gzip(headers)
}

impl Zipped {
    pub(crate) fn if_accepted(accepted: bool) -> Option<Self> {
        accepted.then(|| Self {
            text: String::new(),
            encoder: GzEncoder::new(Vec::new(), Compression::fast()),
        })
    }

    /// Returns the next piece, and true if it is the last one.
    pub(crate) fn piece(&mut self, exposition: &mut Exposition) -> (Bytes, bool) {
        self.text.clear();
        exposition.fill(&mut self.text, PIECE_BYTES);
        // writing to memory does not fail; flushing makes each piece of text a piece of the response, however small
        drop(self.encoder.write_all(self.text.as_bytes()));
        drop(self.encoder.flush());
        let is_last = exposition.is_done();
        if is_last {
            drop(self.encoder.try_finish());
        }
        (std::mem::take(self.encoder.get_mut()).into(), is_last)
    }
}
