//! Writing of lines without the lock of their output.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU8,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::output::stream;
use crate::output::writer::Writer;

/// Device, such as the null device, that accepts lines as a whole even if several
/// threads write. While there is no failure, threads do not wait for each other.
pub(super) struct Direct {
    file: Arc<File>,
    state: AtomicU8,
}

/// Lines bypass the lock.
const CLEAR: u8 = 0;
/// Lines go through the lock until there is no failure any more.
const TROUBLED: u8 = 1;
/// Lines go through the lock permanently.
const OFF: u8 = 2;

/// Result of writing a line while other threads write theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    Whole,
    /// The line was written in part, and must be written again.
    Torn,
    /// Nothing was written.
    NotWritten,
}

impl Direct {
    /// Returns `None` for a writer that needs its lock.
    pub(super) fn of(writer: &Writer) -> Option<Self> {
        match writer {
            Writer::Device(file) if stream::is_device(file) => Some(Self {
                file: Arc::clone(file),
                state: AtomicU8::new(CLEAR),
            }),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn write(&self, line: &[u8]) -> WriteOutcome {
        if self.state.load(Acquire) != CLEAR {
            return WriteOutcome::NotWritten;
        }
        match WriteOutcome::of(write_once(&self.file, line), line) {
            WriteOutcome::Whole => WriteOutcome::Whole,
            WriteOutcome::Torn => self.leave(OFF, WriteOutcome::Torn),
            WriteOutcome::NotWritten => self.leave(TROUBLED, WriteOutcome::NotWritten),
        }
    }

    #[cold]
    fn leave(&self, state: u8, outcome: WriteOutcome) -> WriteOutcome {
        self.state.fetch_max(state, Relaxed);
        outcome
    }

    /// Lets lines bypass the lock again; called with the lock held, when there is no failure.
    pub(super) fn clear(&self) {
        let _ = (self.state).compare_exchange(TROUBLED, CLEAR, Release, Relaxed);
    }
}

/// Writes a line by one call, and returns the number of bytes accepted: an error will occur again under the lock.
#[inline]
pub(super) fn write_once(mut file: &File, line: &[u8]) -> usize {
    file.write(line).unwrap_or(0)
}

impl WriteOutcome {
    #[inline]
    pub(super) fn of(written: usize, line: &[u8]) -> Self {
        match written {
            0 => Self::NotWritten,
            _ if written == line.len() => Self::Whole,
            _ => Self::Torn,
        }
    }
}
