use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use parquet::data_type::ByteArray;

use crate::table::Form;

/// Texts that are remembered because they may come again.
const MAX_KNOWN: usize = 4096;
/// Bytes of memory that many small values share.
const PIECE_BYTES: usize = 64 * 1024;

/// Memory of the values of a batch.
#[derive(Default)]
pub(super) struct Values {
    /// Room for the next ones.
    piece: BytesMut,
    text_bytes: usize,
    known: HashSet<Bytes>,
}

impl Values {
    /// Bytes of all texts, each counted once.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(super) fn clear(&mut self) {
        self.text_bytes = 0;
        // it holds no more than it did since the last file
        self.known.clear();
    }

    /// Returns the text, shared with the same text before: that of the row before, or of any other one if it may come again.
    pub(super) fn text(&mut self, text: &str, form: Form, before: Option<&ByteArray>) -> ByteArray {
        if form != Form::Few {
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

    /// Returns the value in a part of a larger piece of memory, which costs less than one of its own.
    pub(super) fn bytes(&mut self, value: &[u8]) -> Bytes {
        if self.piece.capacity() < value.len() {
            self.piece = BytesMut::with_capacity(PIECE_BYTES.max(value.len()));
        }
        self.piece.extend_from_slice(value);
        self.piece.split().freeze()
    }
}
