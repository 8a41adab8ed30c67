use crate::escape;
use crate::redact::deny::{self, Ending};
use crate::render::key;

/// Compile-time key, with its precomputed encoding.
#[derive(Debug)]
pub struct StaticKey {
    pub(crate) name: &'static str,
    /// `,"name":"` and zeros, with the opening quote of a text: copying a fixed length takes one or two instructions.
    pub(crate) written: [u8; WRITTEN_BYTES],
    pub(crate) bit: u64,
    pub(crate) ending: Ending,
    /// Set if it needs neither escaping nor renaming, and is not part of a URL.
    pub(crate) usual: bool,
}

impl StaticKey {
    /// Creates a key from its name in the macro.
    pub const fn new(name: &'static str) -> Self {
        let name = match name.as_bytes() {
            // prefix of a raw identifier
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

    /// Returns the key without the prefix of a raw identifier.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// Length of the encoding; longer keys are written piece by piece.
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
