//! A process whose hooks and sources hang: separate from the others, which would wait for them.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../lines/mod.rs"]
mod lines;
mod scrapes;
mod ticks;

use std::sync::LazyLock;

use lines::Lines;

/// Log of the process; the first access also installs the metrics.
static LINES: LazyLock<Lines> = LazyLock::new(|| {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    ops_metrics::init(ops_metrics::Config::new()).unwrap();
    lines
});
