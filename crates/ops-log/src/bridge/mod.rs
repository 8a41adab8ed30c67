//! What others log, as lines of ours.

mod facade;
pub(crate) mod panic;
mod subscriber;

use crate::Level;
use crate::pipeline::GLOBAL;

pub use subscriber::tracing_layer;

/// Targets that are told from this level on only, unless a longer or equal target of the filter says otherwise. The
/// OpenTelemetry SDK repeats for each batch what ops-trace says once.
const NOISY: [(&str, Level); 10] = [
    ("hyper", Level::Warning),
    ("h2", Level::Warning),
    ("rustls", Level::Warning),
    ("reqwest", Level::Warning),
    ("aws_", Level::Warning),
    ("opentelemetry", Level::Critical),
    ("ureq", Level::Warning),
    ("tower", Level::Warning),
    ("tokio", Level::Warning),
    ("mio", Level::Warning),
];

/// Whether a line of another crate is written.
pub(crate) fn enabled(level: Level, target: &str) -> bool {
    GLOBAL.levels.may_be_enabled(level)
        && !is_noise(level, target)
        && GLOBAL.levels.enabled(level, target, None)
}

fn is_noise(level: Level, target: &str) -> bool {
    NOISY.iter().any(|(prefix, from)| {
        level < *from
            && target.starts_with(prefix)
            && GLOBAL
                .levels
                .named(target)
                .is_none_or(|(len, _)| len < prefix.len())
    })
}

/// Installs both bridges; whoever was there before stays.
pub(crate) fn install() {
    subscriber::install();
    facade::install();
}

/// What others remember about levels is asked again.
pub(crate) fn levels_changed() {
    facade::levels_changed();
    tracing::callsite::rebuild_interest_cache();
}
