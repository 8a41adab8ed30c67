use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use super::BlackBox;
use super::watch::is_main_thread;
use crate::format::head::cut;
use crate::format::{Kind, MAX_RECORD_BYTES};
use crate::machine::{duration_nanos, nanos};
use crate::read::{BacktraceText, PanicReport};

/// Minimum time between two backtraces: resolving the names in one takes as long as many requests.
const BACKTRACE_EVERY: Duration = Duration::from_secs(10);
/// Maximum length of a text in bytes; less if a record cannot hold the text with what JSON adds.
const MAX_TEXT_BYTES: usize = MAX_RECORD_BYTES / 8;
/// Prefixes of the standard library's messages for panics that cannot be caught.
const UNCATCHABLE: [&str; 2] = [
    "panic in a function that cannot unwind",
    "panic in a destructor during cleanup",
];

/// Installs a hook that runs before the existing one.
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
    let readable = |text: &str| redact(text).unwrap_or_else(|| text.to_owned());
    let message = info.payload_as_str().unwrap_or("non-string panic payload");
    let at = SystemTime::now();
    let begins = |start: &&str| message.starts_with(*start);
    let mut panic = PanicReport {
        message: String::new(),
        location: info.location().map(ToString::to_string),
        thread: std::thread::current().name().map(str::to_owned),
        is_main: is_main_thread(),
        aborts: cfg!(panic = "abort") || UNCATCHABLE.iter().any(begins),
        backtrace: None,
        nanos: nanos(at),
    };
    // the message is recorded before anything that may fail
    write(black_box, Kind::Panic, at, &readable(message), |message| {
        panic.message = message.to_owned();
        serde_json::to_vec(&panic).ok()
    });
    let last = match panic.is_main {
        true => &black_box.shared.main_backtrace_at,
        false => &black_box.shared.backtrace_at,
    };
    if is_due(last, panic.nanos) || panic.aborts {
        let trace = readable(&Backtrace::force_capture().to_string());
        write(
            black_box,
            Kind::Backtrace,
            SystemTime::now(),
            &trace,
            |trace| {
                serde_json::to_vec(&BacktraceText {
                    panic_at: panic.nanos,
                    backtrace: trace.to_owned(),
                })
                .ok()
            },
        );
    }
}

/// Writes a record with as much of the text as fits: cut JSON would not be valid.
fn write(
    black_box: &BlackBox,
    kind: Kind,
    at: SystemTime,
    text: &str,
    mut json: impl FnMut(&str) -> Option<Vec<u8>>,
) {
    let max_text_bytes = black_box.shared.ring.max_text_bytes();
    let mut most = MAX_TEXT_BYTES.min(max_text_bytes);
    while let Some(json) = json(cut(text, most)) {
        if json.len() <= max_text_bytes || most == 0 {
            return black_box.record(kind, at, &json);
        }
        most = most / 4 * 3;
    }
}

fn is_due(last: &AtomicU64, now: u64) -> bool {
    // the clock may have been set back
    let is_due = |last: u64| last == 0 || now.abs_diff(last) >= duration_nanos(BACKTRACE_EVERY);
    let taken = last.fetch_update(Relaxed, Relaxed, |last| is_due(last).then_some(now));
    taken.is_ok()
}
