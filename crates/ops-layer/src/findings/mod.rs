//! Detects problems: rules over numbers that the parts count anyway, evaluated every five seconds on a separate thread.

mod app;
mod cache;
pub(crate) mod disk;
pub(crate) mod example;
mod explain;
mod export;
mod finding;
mod history;
mod history_files;
mod last_run;
mod logs;
mod process;
mod requests;
mod runtime;
mod secrets;
pub(crate) mod snapshot;
mod state;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::time::Duration;

pub use finding::{Finding, Severity};

use history::History;
use snapshot::Snapshot;

/// Time between two evaluations.
const EVERY: Duration = Duration::from_secs(5);

/// Rule: a function of the current numbers and earlier ones.
struct Rule {
    ids: &'static [&'static str],
    /// Usual severity, for the metric.
    severity: Severity,
    check: fn(&Snapshot, &History) -> Option<Finding>,
}

const fn rule(
    ids: &'static [&'static str],
    severity: Severity,
    check: fn(&Snapshot, &History) -> Option<Finding>,
) -> Rule {
    Rule {
        ids,
        severity,
        check,
    }
}

const RULES: [Rule; 37] = {
    use Severity::{Critical, Info, Warning};
    [
        rule(&export::COLLECTOR, Warning, export::collector),
        rule(&["collector_slow"], Warning, export::slow),
        rule(&["spans_dropped"], Warning, export::dropped),
        rule(&["spans_rejected"], Warning, export::rejected),
        rule(&secrets::AWS, Warning, secrets::aws),
        rule(&["secret_source_failing"], Warning, secrets::failing),
        rule(
            &["required_secret_missing"],
            Critical,
            secrets::required_missing,
        ),
        rule(
            &["default_in_production"],
            Critical,
            secrets::default_in_production,
        ),
        rule(&["secret_stale"], Warning, secrets::stale),
        rule(&["disk_full"], Critical, process::disk_full),
        rule(&["disk_nearly_full"], Warning, process::disk_nearly_full),
        rule(&["log_file_not_writable"], Critical, logs::not_writable),
        rule(&["log_lines_dropped"], Warning, logs::dropped),
        rule(&["cache_writes_paused"], Warning, cache::writes_paused),
        rule(&["cache_hit_collapsed"], Warning, cache::collapsed),
        rule(&["shared_store_unreachable"], Warning, cache::unreachable),
        rule(
            &["shared_store_unconditional"],
            Warning,
            cache::unconditional,
        ),
        rule(&["duckdb_failing"], Critical, cache::failing),
        rule(&["duckdb_slow"], Warning, cache::slow),
        rule(&["workers_blocked"], Critical, runtime::blocked),
        rule(&["clock_stepped"], Warning, runtime::clock),
        rule(&["cpu_throttled"], Warning, process::throttled),
        rule(&["memory_near_limit"], Critical, process::memory),
        rule(&["oom_kills"], Critical, process::oom),
        rule(&["descriptors_low"], Warning, process::descriptors),
        rule(&["panics"], Warning, process::panics),
        rule(&["last_run_crashed"], Warning, last_run::ended),
        rule(&["black_box_off"], Warning, last_run::off),
        rule(&["history_stopped"], Warning, history_files::stopped),
        rule(&["history_untidy"], Warning, history_files::untidy),
        rule(&["history_dropping"], Warning, history_files::dropping),
        rule(
            &["history_files_unreadable"],
            Warning,
            history_files::unreadable,
        ),
        rule(&["cardinality_overflow"], Warning, process::cardinality),
        rule(&["requests_failing"], Critical, requests::failing),
        rule(&["requests_slow"], Warning, requests::slow),
        rule(&["requests_usually_slow"], Info, requests::usually_slow),
        rule(&["rule_failing"], Warning, |_, _| None),
    ]
};

/// Returns the findings for one snapshot, without a past.
pub(crate) fn judge(snapshot: &Snapshot) -> Vec<Finding> {
    let past = History::default();
    let found = RULES.iter();
    let found = found.filter_map(|rule| (rule.check)(snapshot, &past));
    explain::ordered(found.collect())
}

/// Returns the finding about a failed export, however short the failure.
#[cfg(feature = "trace")]
pub(crate) fn collector_failure(export: &snapshot::Export) -> Option<Finding> {
    export.failing_for?;
    Some(export::failure(export, Duration::ZERO))
}

/// Returns whether `OPS_ENV` is `production`.
pub(crate) fn is_production() -> bool {
    std::env::var("OPS_ENV").is_ok_and(|env| names_production(&env))
}

/// Interprets the variable as logs and secrets do: a file of variables may have other line endings.
fn names_production(env: &str) -> bool {
    env.trim() == "production"
}
