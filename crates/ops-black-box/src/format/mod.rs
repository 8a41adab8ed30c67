//! Format of the file, the same on every machine: numbers are little-endian, words have eight bytes.
//!
//! | bytes | holds |
//! |---|---|
//! | 0 | `OPSBBOX\n` |
//! | 8 | version (1), then the bytes of the head (4096), four bytes each |
//! | 16 | bytes of the ring, a power of two |
//! | 24 | random number of the run |
//! | 32 | process id |
//! | 40 | start, in nanoseconds since 1970 |
//! | 48 | boot id of the machine, 16 bytes |
//! | 64 | device and inode of the memory control group, 8 bytes each; 0 if unknown |
//! | 80 | length of the service's name, then at 88 the name, at most 128 bytes |
//! | 248 | CRC-32 of the preceding bytes |
//! | 512 | position of the next record |
//! | 576 | last heartbeat in nanoseconds since 1970 |
//! | 584 | OOM kills in the control group, then on the machine, each plus one; 0 if unknown |
//! | 640 | time of the first request to stop, and number of its signal; 0 if there was none |
//! | 656 | time and kind of the end: 1 clean, 2 exited; 0 if there was none |
//! | 704 | one byte, `X` after SIGABRT |
//! | 1024 | length and CRC-32 of the next start's verdict, four bytes each, then the verdict as JSON, at most 2048 bytes |
//! | 4096 | the ring |
//!
//! A record starts at a multiple of eight bytes, and wraps around at the end of the ring:
//!
//! | bytes | holds |
//! |---|---|
//! | 0 | position: number of bytes of all records before it; modulo the size of the ring, its offset in the ring |
//! | 8 | length of the text in the lower 24 bits, then one byte for the kind (see below), then CRC-32 |
//! | 16 | time, in nanoseconds since 1970 |
//! | 24 | the text, JSON without a newline, padded with zeros to a multiple of eight bytes |
//!
//! Kinds: 1 line, 2 span, 3 numbers, 4 panic, 5 backtrace, 6 note.
//!
//! The CRC-32 (zlib's) covers the text. Its initial value is the lower half of a number that starts as
//! the run's number; for position, time, and the four bytes of length and kind, in turn, it becomes
//! `(number ^ word) * 0x9e3779b97f4a7c15` with its halves swapped. A torn record fails the checksum.

pub(crate) mod head;
pub(crate) mod scan;

use serde::Serialize;

pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"OPSBBOX\n");
pub(crate) const VERSION: u32 = 1;
/// Number of bytes before the ring.
pub(crate) const HEAD_BYTES: usize = 4096;
/// Number of bytes in a record before its text.
pub(crate) const RECORD_HEAD_BYTES: usize = 24;
/// Maximum length of a record's text in bytes; a longer text is cut, and is then not valid JSON.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;
/// Minimum size of a ring in bytes.
pub const MIN_RING_BYTES: u64 = 64 * 1024;
/// Maximum size of a ring in bytes.
pub const MAX_RING_BYTES: u64 = 256 * 1024 * 1024;
/// Maximum length of the service's name in the file, in bytes; a longer name is cut.
pub(crate) const MAX_NAME_BYTES: usize = 128;

/// Offsets of words that change while the process runs, in words from the start of the file.
pub(crate) mod word {
    pub(crate) const NEXT: usize = 512 / 8;
    pub(crate) const BEAT: usize = 576 / 8;
    pub(crate) const GROUP_KILLS: usize = BEAT + 1;
    pub(crate) const MACHINE_KILLS: usize = BEAT + 2;
    pub(crate) const STOP_AT: usize = 640 / 8;
    pub(crate) const STOP_SIGNAL: usize = STOP_AT + 1;
    pub(crate) const END_AT: usize = STOP_AT + 2;
    pub(crate) const END: usize = STOP_AT + 3;
    pub(crate) const ABORT: usize = 704 / 8;
    pub(crate) const VERDICT: usize = 1024 / 8;
}

/// Maximum length of a verdict in bytes.
pub(crate) const MAX_VERDICT_BYTES: usize = 2048;
/// Values of the word [`word::END`].
pub(crate) const CLEAN: u64 = 1;
pub(crate) const EXITED: u64 = 2;

/// Content of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// A log line.
    Line = 1,
    /// The end of a span.
    Span = 2,
    /// Numbers of the runtime, once a second.
    Numbers = 3,
    /// Message, location and thread of a panic.
    Panic = 4,
    /// Backtrace of the preceding panic.
    Backtrace = 5,
    /// Information about the run itself.
    Note = 6,
}

impl Kind {
    /// Returns the name used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Span => "span",
            Self::Numbers => "numbers",
            Self::Panic => "panic",
            Self::Backtrace => "backtrace",
            Self::Note => "note",
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Line,
            Self::Span,
            Self::Numbers,
            Self::Panic,
            Self::Backtrace,
            Self::Note,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Returns the size of a record with a text of this length.
pub(crate) const fn record_bytes(text: usize) -> usize {
    RECORD_HEAD_BYTES + text.next_multiple_of(8)
}

/// Packs length and kind as in a record.
pub(crate) fn length_and_kind(text: usize, kind: u8) -> u32 {
    // a text is shorter than 16 MiB
    (text as u32 & 0x00ff_ffff) | u32::from(kind) << 24
}

/// Starts the checksum of a record from the fields of its head.
pub(crate) fn begin_checksum(
    run: u64,
    position: u64,
    at: u64,
    length_and_kind: u32,
) -> crc32fast::Hasher {
    let mut mixed = run;
    for word in [position, at, u64::from(length_and_kind)] {
        mixed = (mixed ^ word).wrapping_mul(MIX).rotate_left(32);
    }
    crc32fast::Hasher::new_with_initial(mixed as u32)
}

/// Odd number that spreads a difference in any bit over the upper half of the product.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
