//! Recording of the end of the process while it happens.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::SigId;
use signal_hook::consts::SIGABRT;

use super::BlackBox;
use crate::format::word;

/// Handlers for the watched black box. The previous ones are unregistered:
/// they would end the process before the mark is written here.
static HANDLERS: Mutex<Vec<SigId>> = Mutex::new(Vec::new());

/// Makes SIGABRT write one byte into the head, and then end the process as by default.
pub(super) fn watch_aborts(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mark = move || {
        // an error cannot be reported from here. `write` would move the position, which a forked child shares
        let _ = rustix::io::pwrite(&file, b"X", (word::ABORT * 8) as u64);
    };
    let mut handlers = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
    for handler in handlers.drain(..) {
        signal_hook::low_level::unregister(handler);
    }
    #[expect(unsafe_code, reason = "nothing safe writes at a place of a file")]
    // SAFETY: a signal handler may call `pwrite` (POSIX, 2.4.3), and this does nothing else: rustix makes
    // the system call itself, allocates nothing, and cannot panic. The file lives as long as the handler.
    let marks = unsafe { signal_hook::low_level::register(SIGABRT, mark)? };
    handlers.push(marks);
    let always = Arc::new(AtomicBool::new(true));
    let ends = signal_hook::flag::register_conditional_default(SIGABRT, always)?;
    handlers.push(ends);
    Ok(())
}

/// Records the exit when the main thread's thread-locals are dropped, which `exit` does too.
pub(super) fn watch_exit(black_box: BlackBox) {
    if is_main_thread() {
        // without storage for it the exit is not recorded, and the end is unknown
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
