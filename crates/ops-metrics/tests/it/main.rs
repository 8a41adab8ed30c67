//! The public behaviour, in one binary and one process: each test counts under labels of its own.
#![expect(clippy::unwrap_used, reason = "tests")]

mod configs;
mod exposition;
mod guard;
#[cfg(feature = "http")]
mod requests;
mod service;

use std::io::Write as _;

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

fn promtool() -> Option<std::path::PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")?;
    let path = std::path::Path::new(&target).join("tools/prometheus/usr/bin/promtool");
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_none(),
        "promtool is required"
    );
    let _ = writeln!(
        std::io::stdout(),
        "skipped: no promtool at tools/prometheus (cargo xtask setup)"
    );
    None
}
