//! Fields of a usual key and a short value, which most are: room for the longest one is taken at once, the field is written in
//! its place, and what is left is given back.

use crate::escape;
use crate::render::scalars;
use crate::render::static_key::{StaticKey, WRITTEN_BYTES};

/// Bytes that the longest such field takes: the key as it is written, text, and its closing quote.
pub(crate) const ROOM_BYTES: usize = WRITTEN_BYTES + escape::MAX_SHORT_BYTES + 16;

/// Room for a field at the end of a line, which begins with its key.
pub(crate) struct Room<'a> {
    bytes: &'a mut [u8; ROOM_BYTES],
    /// Place of the value, behind the colon.
    at: usize,
}

/// Writes a field, and returns its place in the line; `None` leaves the line as it was.
#[inline(always)]
pub(crate) fn write(
    line: &mut Vec<u8>,
    key: &StaticKey,
    value: impl FnOnce(Room<'_>) -> Option<usize>,
) -> Option<usize> {
    let start = line.len();
    if line.capacity() - start < ROOM_BYTES {
        return None;
    }
    line.extend_from_slice(&[0; ROOM_BYTES]);
    let end = line
        .last_chunk_mut()
        .and_then(|bytes: &mut [u8; ROOM_BYTES]| {
            bytes[..WRITTEN_BYTES].copy_from_slice(&key.written);
            // a key that is written as a whole ends before the last bytes
            let at = (key.name.len() + 4) % WRITTEN_BYTES;
            value(Room { bytes, at })
        });
    line.truncate(start + end.unwrap_or_default());
    end.map(|_| start)
}

/// The value of a field; each returns where it ends, and `None` where it is none of the usual.
impl Room<'_> {
    #[inline(always)]
    pub(crate) fn boolean(self, value: bool) -> Option<usize> {
        let text: [u8; 5] = if value { *b"true " } else { *b"false" };
        self.bytes[self.at..self.at + 5].copy_from_slice(&text);
        Some(self.at + 5 - usize::from(value))
    }

    #[inline(always)]
    pub(crate) fn integer(self, value: u64) -> Option<usize> {
        let number = u32::try_from(value)
            .ok()
            .filter(|number| *number < scalars::SHORT_NUMBERS)?;
        let (digits, count) = scalars::short_number(number);
        self.bytes[self.at..self.at + 8].copy_from_slice(&digits);
        Some(self.at + count)
    }

    #[inline(always)]
    pub(crate) fn float(self, value: f64) -> Option<usize> {
        let (whole, thousandths) = scalars::thousandths(value)?;
        let (digits, count) = scalars::short_number(whole);
        self.bytes[self.at..self.at + 8].copy_from_slice(&digits);
        let (decimals, used) = scalars::decimals(thousandths);
        let at = self.at + count % 16;
        self.bytes[at..at + 4].copy_from_slice(&decimals);
        Some(at + used)
    }

    /// Text in which nothing has to be escaped, and no URL or query can be.
    #[inline(always)]
    pub(crate) fn text(self, value: &str) -> Option<usize> {
        let at = self.at + 1;
        let len = escape::short(value, self.bytes[at..].first_chunk_mut()?)?;
        self.bytes[at + len] = b'"';
        Some(at + len + 1)
    }
}
