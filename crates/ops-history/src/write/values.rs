use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use parquet::data_type::ByteArray;

use crate::table::Form;

/// Maximum number of texts remembered for reuse.
const MAX_KNOWN: usize = 4096;
/// Bytes of an allocation that many small values share.
const PIECE_BYTES: usize = 64 * 1024;

/// Storage of the values of a batch.
#[derive(Default)]
pub(super) struct Values {
    /// Remaining space for further values.
    piece: BytesMut,
    text_bytes: usize,
    known: HashSet<Bytes>,
}

impl Values {
    /// Returns the bytes of all texts; a shared one counts once.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(super) fn clear(&mut self) {
        self.text_bytes = 0;
        // keeps its capacity, which is limited by the number of texts since the last file
        self.known.clear();
    }

    /// Returns the text; a column with few distinct values shares it with the row before, or with any earlier row.
    pub(super) fn text(&mut self, text: &str, form: Form, before: Option<&ByteArray>) -> ByteArray {
        if form != Form::LowCardinality {
            return self.new_text(text).into();
        }
        if let Some(before) = before.filter(|before| before.data() == text.as_bytes()) {
            return before.clone();
        }
        if let Some(bytes) = self.known.get(text.as_bytes()) {
            return bytes.clone().into();
        }
        let bytes = self.new_text(text);
        if self.known.len() < MAX_KNOWN {
            self.known.insert(bytes.clone());
        }
        bytes.into()
    }

    fn new_text(&mut self, text: &str) -> Bytes {
        self.text_bytes += text.len();
        self.bytes(text.as_bytes())
    }

    /// Copies the value into a larger shared allocation, which costs less than a separate one.
    pub(super) fn bytes(&mut self, value: &[u8]) -> Bytes {
        if self.piece.capacity() < value.len() {
            self.piece = BytesMut::with_capacity(PIECE_BYTES.max(value.len()));
        }
        self.piece.extend_from_slice(value);
        self.piece.split().freeze()
    }
}
