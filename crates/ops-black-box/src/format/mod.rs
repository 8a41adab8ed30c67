//! Bytes of the file, the same on every machine: numbers are little-endian, words have eight bytes.
//!
//! | bytes | holds |
//! |---|---|
//! | 0 | `OPSBBOX\n` |
//! | 8 | version (1), then the bytes of the head (4096), four bytes each |
//! | 16 | bytes of the ring, a power of two |
//! | 24 | number of the run, at random |
//! | 32 | process id |
//! | 40 | start, in nanoseconds since 1970 |
//! | 48 | boot id of the machine, 16 bytes |
//! | 64 | device and inode of the memory control group, 8 bytes each; 0 if unknown |
//! | 80 | length of the service's name, then at 88 the name, at most 128 bytes |
//! | 248 | CRC-32 of the bytes before |
//! | 512 | position of the next record |
//! | 576 | last heartbeat in nanoseconds since 1970, then kills for want of memory: in the control group, on the machine; each plus one, 0 if unknown |
//! | 640 | time and number of the signal that asked for a stop; time and kind of the end: 1 clean, 2 exited; 0 if there was none |
//! | 704 | one byte, `X` after SIGABRT |
//! | 1024 | length and CRC-32 of the verdict of the next start, four bytes each, then the verdict as JSON, at most 2048 bytes |
//! | 4096 | the ring |
//!
//! A record begins at a multiple of eight bytes and goes on at the beginning of the ring where it reaches its end:
//!
//! | bytes | holds |
//! |---|---|
//! | 0 | position: bytes of all records before it, which is its place in the ring too (modulo the bytes of the ring) |
//! | 8 | length of the text in the lower 24 bits, then 1 byte kind: 1 line, 2 span, 3 numbers, 4 panic, 5 backtrace, 6 note; then CRC-32 |
//! | 16 | time, in nanoseconds since 1970 |
//! | 24 | the text, JSON without a newline, filled up with zeros to a multiple of eight bytes |
//!
//! The CRC-32 (that of zlib) is the one of the text, begun with the lower half of a number that depends on the rest: it is the
//! run's number at first, and for position, time, and the four bytes of length and kind in turn it becomes `(number ^ word) *
//! 0x9e3779b97f4a7c15`, of which both halves change places. A record that is torn fails it.

pub(crate) mod head;
pub(crate) mod scan;

use serde::Serialize;

pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"OPSBBOX\n");
pub(crate) const VERSION: u32 = 1;
/// Bytes before the ring.
pub(crate) const HEAD_BYTES: usize = 4096;
/// Bytes of a record before its text.
pub(crate) const RECORD_HEAD_BYTES: usize = 24;
/// Length of the text of a record; a longer one is cut, and no JSON any more.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;
/// Smallest ring.
pub const MIN_RING_BYTES: u64 = 64 * 1024;
/// Largest ring.
pub const MAX_RING_BYTES: u64 = 256 * 1024 * 1024;
/// Length of the service's name in the file; a longer one is cut.
pub(crate) const MAX_NAME_BYTES: usize = 128;

/// Places of words that change while the process runs, in words from the beginning of the file.
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

/// Length of a verdict.
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
    /// Message, place and thread of a panic.
    Panic = 4,
    /// Backtrace of the panic before.
    Backtrace = 5,
    /// Something about the run itself.
    Note = 6,
}

impl Kind {
    /// Returns the name in JSON.
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

/// Bytes that a record with a text of this length takes.
pub(crate) const fn record_bytes(text: usize) -> usize {
    RECORD_HEAD_BYTES + text.next_multiple_of(8)
}

/// Length and kind as they stand in a record.
pub(crate) fn length_and_kind(text: usize, kind: u8) -> u32 {
    // a text is shorter than 16 MiB
    (text as u32 & 0x00ff_ffff) | u32::from(kind) << 24
}

/// Begins the checksum of a record, with what is in its head.
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

/// Odd number that spreads a difference in any bit over the upper half of a product.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
