use crate::escape;
use crate::redact::deny::{self, Ending};
use crate::render::key;

/// A key that is known when a macro is compiled, and what a line asks about it.
#[derive(Debug)]
pub struct StaticKey {
    pub(crate) name: &'static str,
    /// `,"name":"` and zeros, the last quote for text: a copy of a fixed length is one instruction or two.
    pub(crate) written: [u8; WRITTEN_BYTES],
    pub(crate) bit: u64,
    pub(crate) ending: Ending,
    /// It needs neither escapes nor another name, and is no part of a URL.
    pub(crate) usual: bool,
}

impl StaticKey {
    /// From the key, as it is written in the macro.
    pub const fn new(name: &'static str) -> Self {
        let name = match name.as_bytes() {
            // the mark of a raw identifier
            [b'r', b'#', ..] => name.split_at(2).1,
            _ => name,
        };
        Self {
            name,
            written: written(name),
            bit: key::bit(name.as_bytes()),
            ending: deny::ending(name.as_bytes()),
            usual: name.len() <= WRITTEN_BYTES - 5
                && key::is_usual(name)
                && escape::is_plain_const(name)
                && !escape::has_url_marks(name),
        }
    }

    /// The key without the mark of a raw identifier.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// Longer keys are written piece by piece.
pub(crate) const WRITTEN_BYTES: usize = 32;

const fn written(name: &str) -> [u8; WRITTEN_BYTES] {
    let mut written = [0; WRITTEN_BYTES];
    let name = name.as_bytes();
    if name.len() > WRITTEN_BYTES - 5 {
        return written;
    }
    written[0] = b',';
    written[1] = b'"';
    let mut at = 0;
    while at < name.len() {
        written[at + 2] = name[at];
        at += 1;
    }
    written[at + 2] = b'"';
    written[at + 3] = b':';
    written[at + 4] = b'"';
    written
}
