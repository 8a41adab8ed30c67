//! What `tracing` events a piece of work, or the export to one endpoint, gives rise to.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

/// What this work says on this thread, lines of libraries included.
pub(crate) fn lines_of<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    // otherwise a callsite may be off for good: one that is registered while no subscriber is there yet
    everything();
    let lines = Lines::default();
    let result = tracing::subscriber::with_default(lines.clone(), work);
    let lines = lines.0.lock().unwrap().clone();
    (result, lines)
}

/// What threads without a subscriber of their own, such as the export threads, said about this endpoint since the
/// newest tracer there started: an earlier test may have had the same port.
///
/// Call it once before what it should hear.
pub(crate) fn lines_about(endpoint: &str) -> Vec<String> {
    let lines = everything().0.lock().unwrap();
    let about = lines.iter().filter(|line| line.contains(endpoint));
    let mut about: Vec<_> = about.cloned().collect();
    let newest = about
        .iter()
        .rposition(|line| line.contains("tracer_initialized"));
    about.split_off(newest.unwrap_or(0))
}

/// What libraries said on such threads: there ought to be nothing.
pub(crate) fn lines_of_libraries() -> Vec<String> {
    let lines = everything().0.lock().unwrap();
    let others = lines
        .iter()
        .filter(|line| line.contains(" opentelemetry") || line.contains(" ureq"));
    others.cloned().collect()
}

fn everything() -> &'static Lines {
    static EVERYTHING: OnceLock<Lines> = OnceLock::new();
    EVERYTHING.get_or_init(|| {
        let lines = Lines::default();
        tracing::subscriber::set_global_default(lines.clone()).unwrap();
        lines
    })
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        let line = format!(
            "{} {} {}{}",
            metadata.level(),
            metadata.target(),
            line.message,
            line.fields
        );
        self.0.lock().unwrap().push(line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            write!(self.fields, " {}={value:?}", field.name()).unwrap();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            write!(self.fields, " {}={value}", field.name()).unwrap();
        }
    }
}
