//! The end of the process, as far as it can be noted while it happens.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGABRT;

use super::BlackBox;
use crate::format::word;

/// Has SIGABRT write one byte into the head, and then do what it did before.
///
/// A signal handler may call `write`, and little else. It is what signal-hook does to wake somebody who waits at the other end of
/// a pipe; here the file is at the other end.
pub(super) fn aborts(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start((word::ABORT * 8) as u64))?;
    signal_hook::low_level::pipe::register(SIGABRT, file)?;
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_default(SIGABRT, always)?;
    Ok(())
}

/// Notes the exit when the main thread's own values are dropped, which `exit` does too.
pub(super) fn exit(black_box: BlackBox) {
    if is_main_thread() {
        // without storage for it there is no mark, and the end is unknown
        let _ = AT_EXIT.try_with(|at_exit| at_exit.replace(Some(AtExit(black_box))));
    }
}

pub(super) fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

struct AtExit(BlackBox);

impl Drop for AtExit {
    fn drop(&mut self) {
        self.0.exiting();
    }
}

thread_local! {
    static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) };
}
