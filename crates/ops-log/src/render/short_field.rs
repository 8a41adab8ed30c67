//! Fields with a usual key and a short value, which most are: space for the longest
//! one is added at once, the field is written into it, and the rest is removed.

use crate::escape;
use crate::render::scalars;
use crate::render::static_key::{StaticKey, WRITTEN_BYTES};

/// Length of the longest such field in bytes: the key as written, text, and its closing quote.
pub(crate) const ROOM_BYTES: usize = WRITTEN_BYTES + escape::MAX_SHORT_BYTES + 16;

/// Value that is mostly short.
pub(crate) trait ShortValue {
    /// Writes the value, and returns the position after it; `None` if it is not short, or needs a closer check.
    fn write(self, room: Room<'_>) -> Option<usize>;
}

/// Space for a field at the end of a line, with the key already written.
pub(crate) struct Room<'a> {
    bytes: &'a mut [u8; ROOM_BYTES],
    /// Position of the value, after the colon.
    at: usize,
}

/// Writes a field, and returns its position in the line; on `None` the line is unchanged.
#[inline(always)]
pub(crate) fn write(line: &mut Vec<u8>, key: &StaticKey, value: impl ShortValue) -> Option<usize> {
    let start = line.len();
    // growing the line is left to another function
    if line.capacity() - start < ROOM_BYTES {
        return None;
    }
    line.extend_from_slice(&[0; ROOM_BYTES]);
    let bytes: &mut [u8; ROOM_BYTES] = line.last_chunk_mut()?;
    bytes[..WRITTEN_BYTES].copy_from_slice(&key.written);
    // always smaller for a key that is written at once
    let at = (key.name.len() + 4) % WRITTEN_BYTES;
    let Some(end) = value.write(Room { bytes, at }) else {
        line.truncate(start);
        return None;
    };
    line.truncate(start + end);
    Some(start)
}

impl ShortValue for bool {
    #[inline(always)]
    fn write(self, Room { bytes, at }: Room<'_>) -> Option<usize> {
        let text = if self { b"true " } else { b"false" };
        bytes[at..at + 5].copy_from_slice(text);
        Some(at + 5 - usize::from(self))
    }
}

impl ShortValue for u64 {
    #[inline(always)]
    fn write(self, Room { bytes, at }: Room<'_>) -> Option<usize> {
        let number = u32::try_from(self).ok()?;
        if number >= scalars::SHORT_NUMBERS {
            return None;
        }
        let (digits, count) = scalars::short_number(number);
        bytes[at..at + 8].copy_from_slice(&digits);
        Some(at + count)
    }
}

impl ShortValue for i64 {
    #[inline(always)]
    fn write(self, room: Room<'_>) -> Option<usize> {
        u64::try_from(self).ok()?.write(room)
    }
}

impl ShortValue for f64 {
    #[inline(always)]
    fn write(self, Room { bytes, at }: Room<'_>) -> Option<usize> {
        let (whole, thousandths) = scalars::thousandths(self)?;
        let (digits, count) = scalars::short_number(whole);
        bytes[at..at + 8].copy_from_slice(&digits);
        let (decimals, used) = scalars::decimals(thousandths);
        let at = at + count % 16;
        bytes[at..at + 4].copy_from_slice(&decimals);
        Some(at + used)
    }
}

impl ShortValue for &str {
    #[inline(always)]
    fn write(self, Room { bytes, at }: Room<'_>) -> Option<usize> {
        bytes[at] = b'"';
        let at = at + 1;
        let end = at + escape::short(self, bytes[at..].first_chunk_mut()?)?;
        bytes[end] = b'"';
        Some(end + 1)
    }
}
