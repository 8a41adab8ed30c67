//! `tracing` events of other crates as lines of ours.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::{Level, Value, get_logger};

/// Targets that are told from this level on only. The OpenTelemetry SDK repeats for each batch what ops-trace says once.
const NOISY: [(&str, Level); 8] = [
    ("hyper", Level::Warning),
    ("h2", Level::Warning),
    ("rustls", Level::Warning),
    ("aws_", Level::Warning),
    ("opentelemetry", Level::Critical),
    ("ureq", Level::Warning),
    ("tower", Level::Warning),
    ("mio", Level::Warning),
];

/// A layer that turns `tracing` events into lines, named by their target.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLayer(());

/// The layer, for a host that composes its own subscriber.
pub fn tracing_layer() -> TracingLayer {
    TracingLayer(())
}

pub(crate) fn install() {
    // whoever installed a subscriber before keeps it
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(tracing_layer()),
    );
}

impl<S: tracing::Subscriber> Layer<S> for TracingLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        };
        let target = metadata.target();
        let noisy = NOISY.iter().find(|(prefix, _)| target.starts_with(prefix));
        if !crate::is_enabled(level) || noisy.is_some_and(|(_, from)| level < *from) {
            return;
        }
        let mut found = Found::default();
        event.record(&mut found);
        let fields: Vec<(&str, Value)> = found
            .fields
            .iter()
            .map(|(key, value)| (*key, value.clone()))
            .collect();
        get_logger(metadata.target()).log(level, &found.message, &fields);
    }
}

#[derive(Default)]
struct Found {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.push((field.name(), Value::Text(text)));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.fields.push((field.name(), value.into()));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }
}
