//! A panic is a line.

use std::panic::PanicHookInfo;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::Level;
use crate::pipeline::GLOBAL;
use crate::render::callback;
use crate::render::head::RecordMeta;

/// Time that a panic waits for pending writes.
const FLUSH_BUDGET: Duration = Duration::from_millis(500);

static WANTED: AtomicBool = AtomicBool::new(false);

/// Lines for panics from here on, or none. The hook that was there before still runs.
pub(crate) fn watch(wanted: bool) {
    static INSTALLED: Once = Once::new();
    WANTED.store(wanted, Relaxed);
    if !wanted {
        return;
    }
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !WANTED.load(Relaxed) {
                return before(info);
            }
            if callback::is_quiet() {
                return;
            }
            log_panic(info);
            before(info);
        }));
    });
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a value that is no text");
    let meta = RecordMeta {
        level: Level::Critical,
        logger: None,
        event: &"panic",
    };
    GLOBAL.write(&meta, &[], &mut |line| {
        line.field("message", |line| line.text(message));
        if let Some(location) = info.location() {
            line.field("location", |line| {
                line.arguments(&format_args!("{location}"))
            });
        }
        if let Some(name) = std::thread::current().name() {
            line.field("thread", |line| line.text(name));
        }
    });
    GLOBAL.flush(FLUSH_BUDGET);
}
