//! Filter for lines of other crates.

use crate::Level;
use crate::pipeline::GLOBAL;

/// Crates with a minimum level, unless a target of the filter that is at least as long sets
/// another one. The OpenTelemetry SDK repeats for each batch what ops-trace logs once.
const NOISY: [(&str, Level); 16] = [
    ("hyper", Level::Warning),
    ("hyper_util", Level::Warning),
    ("hyper_rustls", Level::Warning),
    ("h2", Level::Warning),
    ("rustls", Level::Warning),
    ("rustls_platform_verifier", Level::Warning),
    ("reqwest", Level::Warning),
    ("ureq", Level::Warning),
    ("ureq_proto", Level::Warning),
    ("tower", Level::Warning),
    ("tower_http", Level::Warning),
    ("tokio", Level::Warning),
    ("tokio_util", Level::Warning),
    ("tokio_rustls", Level::Warning),
    ("tokio_tungstenite", Level::Warning),
    ("mio", Level::Warning),
];

/// Families of crates with a minimum level, by prefix.
const NOISY_FAMILIES: [(&str, Level); 2] =
    [("aws_", Level::Warning), ("opentelemetry", Level::Critical)];

/// Returns `true` if a line of another crate is written.
pub(crate) fn enabled(level: Level, target: &str) -> bool {
    GLOBAL.levels.may_be_enabled(level)
        && !is_noise(level, target)
        && GLOBAL.enabled(level, target, None)
}

fn is_noise(level: Level, target: &str) -> bool {
    let is_crate = |name: &str| {
        target
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let crates = NOISY.iter().filter(|(name, _)| is_crate(name));
    let families = NOISY_FAMILIES.iter();
    let families = families.filter(|(prefix, _)| target.starts_with(prefix));
    crates.chain(families).any(|(name, from)| {
        level < *from
            && GLOBAL
                .levels
                .named(target)
                .is_none_or(|(len, _)| len < name.len())
    })
}
