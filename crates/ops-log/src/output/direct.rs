//! Lines past the lock of their output.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU8,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::output::stream;
use crate::output::writer::Writer;

/// A device that takes a line as a whole, whoever writes to it at the same time, as the null device does. While nothing is
/// wrong with it, threads do not wait for each other there.
pub(super) struct Direct {
    file: Arc<File>,
    state: AtomicU8,
}

/// Lines go past the lock.
const CLEAR: u8 = 0;
/// Lines go through the lock until nothing is wrong any more.
const TROUBLED: u8 = 1;
/// Lines go through the lock for good.
const OFF: u8 = 2;

/// Outcome of a line that was to be written while other threads write theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    Whole,
    /// It was written in part, and has to be written again.
    Torn,
    /// Nothing of it was written.
    Not,
}

impl Direct {
    /// `None` for a writer that needs its lock.
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
    pub(super) fn write(&self, line: &[u8]) -> Passed {
        if self.state.load(Acquire) != CLEAR {
            return Passed::Not;
        }
        match Passed::of(write_once(&self.file, line), line) {
            Passed::Whole => Passed::Whole,
            Passed::Torn => self.leave(OFF, Passed::Torn),
            Passed::Not => self.leave(TROUBLED, Passed::Not),
        }
    }

    #[cold]
    fn leave(&self, state: u8, passed: Passed) -> Passed {
        self.state.fetch_max(state, Relaxed);
        passed
    }

    /// Lets lines past the lock again; called with the lock held, when nothing is wrong.
    pub(super) fn clear(&self) {
        let _ = (self.state).compare_exchange(TROUBLED, CLEAR, Release, Relaxed);
    }
}

/// Writes a line by one call, and returns how many bytes of it were taken: what was wrong is seen again under the lock.
#[inline]
pub(super) fn write_once(mut file: &File, line: &[u8]) -> usize {
    file.write(line).unwrap_or(0)
}

impl Passed {
    #[inline]
    pub(super) fn of(written: usize, line: &[u8]) -> Self {
        match written {
            0 => Self::Not,
            _ if written == line.len() => Self::Whole,
            _ => Self::Torn,
        }
    }
}
