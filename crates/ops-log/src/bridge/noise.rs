//! Which lines of other crates are written.

use crate::Level;
use crate::pipeline::GLOBAL;

/// Targets that are logged from this level on only, unless a longer or equal target of the filter says otherwise. The
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

/// Reports whether a line of another crate is written.
pub(crate) fn enabled(level: Level, target: &str) -> bool {
    GLOBAL.levels.may_be_enabled(level)
        && !is_noise(level, target)
        && GLOBAL.enabled(level, target, None)
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
