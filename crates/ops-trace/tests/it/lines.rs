//! `tracing` events of a piece of work, or of the export to one endpoint.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

/// Returns the lines that this work logs on this thread, including lines of libraries.
pub(crate) fn lines_of<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    // registered first: a callsite registered without any subscriber might stay disabled
    everything();
    let lines = Lines::default();
    let result = tracing::subscriber::with_default(lines.clone(), work);
    let lines = lines.0.lock().unwrap().clone();
    (result, lines)
}

/// Returns the lines that threads without their own subscriber, such as the export threads, logged about this endpoint
/// since the newest tracer for it started: an earlier test may have used the same port.
///
/// The first call has to be before the lines of interest.
pub(crate) fn lines_about(endpoint: &str) -> Vec<String> {
    let lines = everything().0.lock().unwrap();
    let about = lines.iter().filter(|line| line.contains(endpoint));
    let mut about: Vec<_> = about.cloned().collect();
    let newest = about
        .iter()
        .rposition(|line| line.contains("tracer_initialized"));
    about.split_off(newest.unwrap_or(0))
}

/// Returns the lines that libraries logged on such threads; there should be none.
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
