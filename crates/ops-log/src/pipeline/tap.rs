use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;

use crate::render::callback::caught;

type Tap = Box<dyn Fn(SystemTime, &[u8]) + Send + Sync>;

/// Set if there is a tap, so that most processes check only this.
static HAS_TAP: AtomicBool = AtomicBool::new(false);
static TAP: ArcSwapOption<Tap> = ArcSwapOption::const_empty();

/// Sets a function that is called with each line of the global pipeline after its
/// outputs accepted it, or failed to: with the time and the JSON of the line, without
/// newline and secrets. Unlike the lines of [`recent`](crate::recent) it is not cut.
///
/// The function runs on the thread that logs, so it must not block. Lines that it logs
/// itself are dropped. It is not called for the line of a panic: application code that
/// panics within a panic would abort the process. A second function replaces the first.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// static BYTES: AtomicUsize = AtomicUsize::new(0);
///
/// let _log = ops_log::init(ops_log::Config::new())?;
/// ops_log::set_line_tap(|_, json| drop(BYTES.fetch_add(json.len(), Relaxed)));
/// ops_log::info!("started");
/// assert!(BYTES.load(Relaxed) > 0);
/// # Ok::<(), ops_log::Error>(())
/// ```
pub fn set_line_tap(tap: impl Fn(SystemTime, &[u8]) + Send + Sync + 'static) {
    TAP.store(Some(Arc::new(Box::new(tap))));
    HAS_TAP.store(true, Relaxed);
}

#[inline]
pub(super) fn is_set() -> bool {
    HAS_TAP.load(Relaxed)
}

pub(super) fn show(at: SystemTime, line: &[u8]) {
    let tap = TAP.load();
    if let Some(tap) = tap.as_ref() {
        caught(|| tap(at, line.strip_suffix(b"\n").unwrap_or(line)));
    }
}
