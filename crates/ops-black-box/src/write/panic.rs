use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::BlackBox;
use super::watch::is_main_thread;
use crate::format::head::cut;
use crate::format::{Kind, MAX_RECORD_BYTES};
use crate::machine::{duration_nanos, nanos};
use crate::read::{BacktraceText, PanicReport};

/// Time between two backtraces: looking up the names in one takes as long as many requests do.
const BACKTRACE_EVERY: Duration = Duration::from_secs(10);
/// Texts are cut at this, so that a record has room for what JSON adds to them.
const MAX_TEXT_BYTES: usize = MAX_RECORD_BYTES / 8;
/// Beginnings of the messages of panics that nothing can catch, as the standard library has them.
const UNCATCHABLE: [&str; 2] = [
    "panic in a function that cannot unwind",
    "panic in a destructor during cleanup",
];

/// Adds a hook before the one that is there.
pub(super) fn watch(
    black_box: BlackBox,
    redact: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        record(&black_box, info, &redact);
        before(info);
    }));
}

fn record(black_box: &BlackBox, info: &PanicHookInfo<'_>, redact: &dyn Fn(&str) -> Option<String>) {
    let readable = |text: &str| {
        let text = redact(text).unwrap_or_else(|| text.to_owned());
        cut(&text, MAX_TEXT_BYTES).to_owned()
    };
    let message = info.payload_as_str().unwrap_or("a value that is no text");
    let at = SystemTime::now();
    let begins = |start: &&str| message.starts_with(*start);
    let panic = PanicReport {
        message: readable(message),
        location: info.location().map(ToString::to_string),
        thread: std::thread::current().name().map(str::to_owned),
        is_main: is_main_thread(),
        aborts: cfg!(panic = "abort") || UNCATCHABLE.iter().any(begins),
        backtrace: None,
        nanos: nanos(at),
    };
    // the message is safe before anything is tried that may fail
    write(black_box, Kind::Panic, at, &panic);
    if panic.aborts || panic.is_main || is_due(black_box, panic.nanos) {
        let trace = BacktraceText {
            panic_at: panic.nanos,
            backtrace: readable(&Backtrace::force_capture().to_string()),
        };
        write(black_box, Kind::Backtrace, SystemTime::now(), &trace);
    }
}

fn write(black_box: &BlackBox, kind: Kind, at: SystemTime, text: &impl Serialize) {
    if let Ok(json) = serde_json::to_vec(text) {
        black_box.record(kind, at, &json);
    }
}

fn is_due(black_box: &BlackBox, now: u64) -> bool {
    let last = black_box.shared.backtrace_at.load(Relaxed);
    let is_due = last == 0 || now.saturating_sub(last) >= duration_nanos(BACKTRACE_EVERY);
    if is_due {
        black_box.shared.backtrace_at.store(now, Relaxed);
    }
    is_due
}
