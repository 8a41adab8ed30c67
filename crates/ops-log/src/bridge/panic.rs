//! Logging of panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Once, mpsc};
use std::time::Duration;

use crate::Level;
use crate::context::carry::carry;
use crate::output::stream;
use crate::pipeline::GLOBAL;
use crate::redact::redacted;
use crate::render::callback::{self, quietly};
use crate::render::head::RecordMeta;

/// Time that a panic waits for pending writes.
const FLUSH_BUDGET: Duration = Duration::from_millis(500);

static WANTED: AtomicBool = AtomicBool::new(false);

/// Enables or disables lines for panics. The previous hook still runs.
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
            // if panics abort, even one of a callback is logged, because it ends the process
            if cfg!(panic = "unwind") && callback::is_quiet() {
                return;
            }
            log_panic(info);
            match info.payload_as_str().and_then(redacted) {
                None => before(info),
                // the previous hook would print the secret
                Some(message) => print_scrubbed(info, &message),
            }
        }));
    });
}

/// Prints a panic like the standard library, with a backtrace if `RUST_BACKTRACE` requests it.
fn print_scrubbed(info: &PanicHookInfo<'_>, message: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("\nthread '{name}' panicked at {location}:\n{message}\n");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text += &format!("stack backtrace:\n{backtrace}");
    }
    if let Some((mut stderr, _)) = stream::stderr() {
        let _ = stderr.write_all(text.as_bytes());
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let panic = Panic {
        message: info
            .payload_as_str()
            .unwrap_or("non-string panic payload")
            .to_owned(),
        location: info.location().map(ToString::to_string),
        thread: std::thread::current().name().map(str::to_owned),
    };
    if !GLOBAL.runs_application_code() {
        return panic.log();
    }
    // a writer that panics within a panic would abort the process: on another thread only its line is lost
    let (done, finished) = mpsc::channel();
    let work = carry(move || panic.log());
    let spawned = std::thread::Builder::new()
        .name("ops-log-panic".to_owned())
        .spawn(move || {
            quietly(work);
            let _ = done.send(());
        });
    if spawned.is_ok() {
        let _ = finished.recv_timeout(FLUSH_BUDGET);
    }
}

/// Message and location of a panic.
struct Panic {
    message: String,
    location: Option<String>,
    thread: Option<String>,
}

impl Panic {
    fn log(&self) {
        let meta = RecordMeta {
            level: Level::Critical,
            logger: None,
            event: &"panic",
            module: None,
            location: None,
            always: true,
        };
        GLOBAL.write_panic(&meta, &mut |line| {
            line.field("message", |line| line.text(&self.message));
            if let Some(location) = &self.location {
                line.field("location", |line| line.text(location));
            }
            if let Some(thread) = &self.thread {
                line.field("thread", |line| line.text(thread));
            }
        });
        GLOBAL.flush(FLUSH_BUDGET);
    }
}
