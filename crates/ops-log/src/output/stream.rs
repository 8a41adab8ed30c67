//! Standard streams without the buffers that std puts in front of them.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::time::Duration;

#[cfg(unix)]
mod unix {
    use super::{Duration, File, IsTerminal, io};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::fs::FileTypeExt;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
            tv_sec: 0,
            tv_nsec: i64::from(budget.subsec_nanos()) as _,
        };
        let mut ends = [PollFd::new(file, PollFlags::OUT)];
        Ok(poll(&mut ends, Some(&budget))? > 0)
    }
}

#[cfg(not(unix))]
mod other {
    use super::{Duration, File, io};

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
pub(crate) use other::{is_writable, may_stall, stderr, stdout};
#[cfg(unix)]
pub(crate) use unix::{is_writable, may_stall, stderr, stdout};
