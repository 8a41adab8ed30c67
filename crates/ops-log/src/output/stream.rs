//! Standard streams without the buffers that std puts in front of them.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Level;

/// Time that lines wait for a reader that stalls: 100 ms. Until it reads again, further lines are dropped at once, and a
/// line says how many.
pub const STALL_BUDGET: Duration = Duration::from_millis(100);

/// Time that lines of level `error` and `critical` wait for a reader that stalls: 1 s.
pub const ERROR_STALL_BUDGET: Duration = Duration::from_secs(1);

/// Budget for a reader that stalls.
pub(crate) struct Patience {
    /// Wait for as long as it takes.
    blocking: bool,
    /// Rest of the budgets until it reads again.
    left: Duration,
    left_for_errors: Duration,
}

impl Patience {
    pub(crate) fn new(blocking: bool) -> Self {
        Self {
            blocking,
            left: STALL_BUDGET,
            left_for_errors: ERROR_STALL_BUDGET,
        }
    }

    /// Waits for this long once more.
    pub(crate) fn grant(&mut self, budget: Duration) {
        self.left_for_errors = budget;
    }

    /// Waits until the reader takes a chunk; false if it takes too long.
    #[inline]
    pub(crate) fn wait(&mut self, file: &File, level: Level) -> io::Result<bool> {
        if is_writable(file, Duration::ZERO)? {
            self.left = STALL_BUDGET;
            self.left_for_errors = ERROR_STALL_BUDGET;
            return Ok(true);
        }
        self.wait_on(file, level)
    }

    #[cold]
    fn wait_on(&mut self, file: &File, level: Level) -> io::Result<bool> {
        let started = Instant::now();
        loop {
            let budget = match level {
                _ if self.blocking => ERROR_STALL_BUDGET,
                Level::Error | Level::Critical => self.left_for_errors,
                _ => self.left,
            };
            let budget = budget.saturating_sub(started.elapsed());
            let is_writable = is_writable(file, budget)?;
            if !is_writable && self.blocking {
                continue;
            }
            let waited = started.elapsed();
            self.left = self.left.saturating_sub(waited);
            self.left_for_errors = self.left_for_errors.saturating_sub(waited);
            return Ok(is_writable);
        }
    }
}

#[cfg(unix)]
mod unix {
    use super::{Duration, File, IsTerminal, OpenOptions, Path, io};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::OFlags;

    /// A pipe is not waited for, neither to be opened nor to take a line.
    pub(crate) fn without_waiting(options: &mut OpenOptions) {
        // the bits of a flag fit
        options.custom_flags(OFlags::NONBLOCK.bits() as i32);
    }

    pub(crate) fn is_pipe(path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
    }

    pub(crate) fn has_no_reader(error: &io::Error) -> bool {
        error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error())
    }

    fn duplicate(stream: BorrowedFd<'_>) -> Option<File> {
        stream.try_clone_to_owned().ok().map(File::from)
    }

    pub(crate) fn stdout() -> Option<(File, bool)> {
        let stream = io::stdout();
        Some((duplicate(stream.as_fd())?, stream.is_terminal()))
    }

    pub(crate) fn stderr() -> Option<(File, bool)> {
        let stream = io::stderr();
        Some((duplicate(stream.as_fd())?, stream.is_terminal()))
    }

    /// Reports whether there is a reader at the other end, which may stall.
    pub(crate) fn may_stall(file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| {
            let kind = metadata.file_type();
            kind.is_fifo() || kind.is_socket() || file.is_terminal()
        })
    }

    /// Waits until it takes a chunk; returns `false` on timeout.
    pub(crate) fn is_writable(file: &File, budget: Duration) -> io::Result<bool> {
        let budget = Timespec {
            tv_sec: budget.as_secs() as _,
            tv_nsec: i64::from(budget.subsec_nanos()) as _,
        };
        let mut ends = [PollFd::new(file, PollFlags::OUT)];
        Ok(poll(&mut ends, Some(&budget))? > 0)
    }
}

#[cfg(not(unix))]
mod other {
    use super::{Duration, File, OpenOptions, Path, io};

    pub(crate) fn without_waiting(_: &mut OpenOptions) {}

    pub(crate) fn is_pipe(_: &Path) -> bool {
        false
    }

    pub(crate) fn has_no_reader(_: &io::Error) -> bool {
        false
    }

    pub(crate) fn stdout() -> Option<(File, bool)> {
        named("CONOUT$")
    }

    pub(crate) fn stderr() -> Option<(File, bool)> {
        named("CONOUT$")
    }

    fn named(name: &str) -> Option<(File, bool)> {
        File::options()
            .write(true)
            .open(name)
            .ok()
            .map(|file| (file, true))
    }

    pub(crate) fn may_stall(_: &File) -> bool {
        false
    }

    pub(crate) fn is_writable(_: &File, _: Duration) -> io::Result<bool> {
        Ok(true)
    }
}

#[cfg(not(unix))]
pub(crate) use other::{
    has_no_reader, is_pipe, is_writable, may_stall, stderr, stdout, without_waiting,
};
#[cfg(unix)]
pub(crate) use unix::{
    has_no_reader, is_pipe, is_writable, may_stall, stderr, stdout, without_waiting,
};
