//! Standard streams without the buffers of the standard library.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Level;

/// Time that lines wait for a reader that stalls: 100 ms. Until it reads again,
/// further lines are dropped at once; their number is logged afterwards.
pub const STALL_BUDGET: Duration = Duration::from_millis(100);

/// Time that lines of level `error` and `critical` wait for a reader that stalls: 1 s.
pub const ERROR_STALL_BUDGET: Duration = Duration::from_secs(1);

/// Pause before writing again to a stream that reported room, but had none.
const REST: Duration = Duration::from_millis(1);

/// Time budget for a reader that stalls.
pub(crate) struct StallBudget {
    /// Set to wait without limit.
    blocking: bool,
    /// Remaining budgets until it reads again.
    left: Duration,
    left_for_errors: Duration,
    /// Set from a write that found no room until one finds room at once.
    was_full: bool,
    /// Set if a write must be preceded by `poll`, because it could block.
    must_ask: bool,
}

/// Result of a write that does not block.
pub(crate) enum AtOnce {
    Written(usize),
    Full,
    /// The system cannot write to this without blocking.
    Unsupported,
}

impl StallBudget {
    pub(crate) fn new(blocking: bool) -> Self {
        Self {
            blocking,
            left: STALL_BUDGET,
            left_for_errors: ERROR_STALL_BUDGET,
            was_full: false,
            must_ask: false,
        }
    }

    /// Allows waiting for this time once more.
    pub(crate) fn grant(&mut self, budget: Duration) {
        self.left_for_errors = budget;
    }

    /// Writes a chunk, or a part of it, as soon as the reader
    /// accepts it; fails with `TimedOut` if that takes too long.
    #[inline]
    pub(crate) fn write(&mut self, file: &File, chunk: &[u8], level: Level) -> io::Result<usize> {
        // a full pipe may have room for a short line before it has room for the next long one
        let asks = self.was_full || self.must_ask;
        if (!asks || is_writable(file, Duration::ZERO)?)
            && let Some(written) = self.write_at_once(file, chunk)?
        {
            self.left = STALL_BUDGET;
            self.left_for_errors = ERROR_STALL_BUDGET;
            self.was_full = false;
            return Ok(written);
        }
        self.was_full = true;
        while self.wait(file, level)? {
            if let Some(written) = self.write_at_once(file, chunk)? {
                return Ok(written);
            }
            if !self.rest(level) {
                break;
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Writes without blocking; `None` if that is not possible now.
    #[inline]
    fn write_at_once(&mut self, file: &File, chunk: &[u8]) -> io::Result<Option<usize>> {
        if self.must_ask {
            let mut file = file;
            return match file.write(chunk) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                written => written.map(Some),
            };
        }
        Ok(match write_at_once(file, chunk)? {
            AtOnce::Written(written) => Some(written),
            AtOnce::Full => None,
            AtOnce::Unsupported => {
                self.must_ask = true;
                None
            }
        })
    }

    /// Waits until the reader accepts a chunk; returns `false` on timeout.
    #[cold]
    fn wait(&mut self, file: &File, level: Level) -> io::Result<bool> {
        let started = Instant::now();
        loop {
            let budget = self.budget(level).saturating_sub(started.elapsed());
            let is_writable = match is_writable(file, budget) {
                // interrupted by a signal: the remaining time is unchanged
                Err(error) if error.kind() == io::ErrorKind::Interrupted && !budget.is_zero() => {
                    continue;
                }
                polled => polled?,
            };
            if !is_writable && self.blocking {
                continue;
            }
            self.spend(started.elapsed());
            return Ok(is_writable);
        }
    }

    /// Pauses if there is room, but not for a line, as in an almost full terminal; returns `false` on timeout.
    #[cold]
    fn rest(&mut self, level: Level) -> bool {
        if self.budget(level).is_zero() {
            return false;
        }
        std::thread::sleep(REST);
        self.spend(REST);
        true
    }

    fn budget(&self, level: Level) -> Duration {
        match level {
            _ if self.blocking => ERROR_STALL_BUDGET,
            Level::Error | Level::Critical => self.left_for_errors,
            _ => self.left,
        }
    }

    fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
        self.left_for_errors = self.left_for_errors.saturating_sub(time);
    }
}

#[cfg(unix)]
mod unix {
    use super::{AtOnce, Duration, File, IsTerminal, OpenOptions, Path, io};
    #[cfg(target_os = "linux")]
    use std::os::fd::AsRawFd;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::OFlags;

    /// Makes sure that opening a pipe and writing to it do not block.
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
        standard(io::stdout().as_fd())
    }

    pub(crate) fn stderr() -> Option<(File, bool)> {
        standard(io::stderr().as_fd())
    }

    fn standard(stream: BorrowedFd<'_>) -> Option<(File, bool)> {
        let terminal = stream.is_terminal();
        let own = terminal.then(|| opened_again(stream)).flatten();
        Some((own.or_else(|| duplicate(stream))?, terminal))
    }

    /// Opens a terminal again: it reports room although a line does not fit, and a
    /// write would then block. Only a separately opened file can be made non-blocking.
    #[cfg(target_os = "linux")]
    fn opened_again(terminal: BorrowedFd<'_>) -> Option<File> {
        // `/dev/tty`, `/dev/console` and `/dev/ptmx` may be another terminal when opened again
        const ALIASES: u32 = 5;

        if rustix::fs::major(rustix::fs::fstat(terminal).ok()?.st_rdev) == ALIASES {
            return None;
        }
        let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
        let mut options = OpenOptions::new();
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        options.write(true).custom_flags(flags.bits() as i32);
        options.open(path).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn opened_again(_: BorrowedFd<'_>) -> Option<File> {
        None
    }

    /// Returns `true` if there is a reader at the other end, which may stall.
    pub(crate) fn may_stall(file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| {
            let kind = metadata.file_type();
            kind.is_fifo() || kind.is_socket() || file.is_terminal()
        })
    }

    pub(crate) fn is_device(file: &File) -> bool {
        let metadata = file.metadata();
        metadata.is_ok_and(|metadata| metadata.file_type().is_char_device())
    }

    /// File systems that append the bytes of one write as a whole, by their `statfs` numbers.
    #[cfg(target_os = "linux")]
    const LOCAL: [u32; 7] = [
        0xef53,      // ext2 to ext4
        0x5846_5342, // XFS
        0x9123_683e, // btrfs
        0x2fc1_2fc1, // ZFS
        0xf2f5_2010, // F2FS
        0x0102_1994, // tmpfs
        0x794c_7630, // overlayfs
    ];

    /// Returns `true` if lines appended to a file at the same time stay separate.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_on_local_disk(file: &File) -> bool {
        // the number has 32 bits, signed or unsigned
        rustix::fs::fstatfs(file).is_ok_and(|found| LOCAL.contains(&(found.f_type as u32)))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_on_local_disk(_: &File) -> bool {
        false
    }

    /// Writes as much as is accepted now, even if the file was opened in blocking mode.
    #[cfg(target_os = "linux")]
    #[inline]
    pub(crate) fn write_at_once(file: &File, bytes: &[u8]) -> io::Result<AtOnce> {
        use rustix::io::{Errno, ReadWriteFlags};

        let bytes = [io::IoSlice::new(bytes)];
        match rustix::io::pwritev2(file, &bytes, u64::MAX, ReadWriteFlags::NOWAIT) {
            Ok(written) => Ok(AtOnce::Written(written)),
            Err(Errno::AGAIN) => Ok(AtOnce::Full),
            // older kernels, unsupported files, and system call filters
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                Ok(AtOnce::Unsupported)
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn write_at_once(_: &File, _: &[u8]) -> io::Result<AtOnce> {
        Ok(AtOnce::Unsupported)
    }

    /// Waits until it accepts a chunk; returns `false` on timeout.
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
    use super::{AtOnce, Duration, File, OpenOptions, Path, io};

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

    pub(crate) fn is_device(_: &File) -> bool {
        false
    }

    pub(crate) fn is_on_local_disk(_: &File) -> bool {
        false
    }

    pub(crate) fn write_at_once(_: &File, _: &[u8]) -> io::Result<AtOnce> {
        Ok(AtOnce::Unsupported)
    }

    pub(crate) fn is_writable(_: &File, _: Duration) -> io::Result<bool> {
        Ok(true)
    }
}

#[cfg(not(unix))]
pub(crate) use other::{
    has_no_reader, is_device, is_on_local_disk, is_pipe, is_writable, may_stall, stderr, stdout,
    without_waiting, write_at_once,
};
#[cfg(unix)]
pub(crate) use unix::{
    has_no_reader, is_device, is_on_local_disk, is_pipe, is_writable, may_stall, stderr, stdout,
    without_waiting, write_at_once,
};
