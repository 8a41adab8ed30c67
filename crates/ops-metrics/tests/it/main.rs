//! The public behaviour, in one binary and one process: each test counts under labels of its own.
#![expect(clippy::unwrap_used, reason = "tests")]

mod exposition;
mod guard;
#[cfg(feature = "http")]
mod requests;
mod service;

/// The value on the line that starts with `series`.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok())
}

fn rendered() -> String {
    ops_metrics::install(ops_metrics::Config::new().build_info("0.1.0", "abc123", "1.95.0"))
        .unwrap();
    ops_metrics::render().unwrap()
}
