use crate::{Config, Error};

pub(crate) use ops_metrics::http::{ClientMetrics as ClientObserver, RedMetrics as Observer};

/// Starts metrics, with the build that runs.
pub(crate) fn start(config: &Config) -> Result<(), Error> {
    let mut settings = ops_metrics::Config::new();
    if let Some([version, revision, compiler]) = config.build {
        settings = settings.build_info(version, revision, compiler);
    }
    ops_metrics::install(settings).map_err(|error| Error::new("metrics", error))?;
    describe();
    Ok(())
}

pub(crate) fn client_observer() -> ClientObserver {
    ClientObserver::new()
}

pub(crate) fn observer() -> Observer {
    Observer::new()
}

/// Help of the totals that the parts publish.
const COUNTERS: [(&str, &str); 19] = [
    (
        "cache_bypass_total",
        "Queries that went past the cache, by reason",
    ),
    (
        "cache_miss_reason_total",
        "Lookups that the cache did not answer, by reason",
    ),
    ("log_events_total", "Log lines of each level"),
    (
        "log_lines_dropped_total",
        "Log lines that a sink did not take",
    ),
    ("log_lines_written_total", "Log lines that every sink took"),
    (
        "log_value_errors_total",
        "Log values that panicked or failed while they were formatted",
    ),
    (
        "log_values_truncated_total",
        "Log values that were cut, and fields left out, for their length or number",
    ),
    (
        "secrets_backend_requests_total",
        "Requests to the sources of secrets",
    ),
    (
        "secrets_cache_hits_total",
        "Secret lookups that the cache answered",
    ),
    (
        "secrets_cache_misses_total",
        "Secret lookups that the cache did not answer",
    ),
    ("secrets_errors_total", "Secret lookups that failed"),
    (
        "secrets_listener_failures_total",
        "Listener calls that panicked or were waited for in vain",
    ),
    ("secrets_lookups_total", "Secret lookups"),
    (
        "secrets_refreshes_total",
        "Secrets that were fetched ahead of their expiry",
    ),
    (
        "secrets_stale_served_total",
        "Secrets that were served after their time, for want of a newer one",
    ),
    (
        "trace_export_failures_total",
        "Exports of spans that failed",
    ),
    ("trace_spans_dropped_total", "Spans that were dropped"),
    (
        "trace_spans_exported_total",
        "Spans that the collector accepted",
    ),
    (
        "trace_spans_rejected_total",
        "Spans that the collector rejected",
    ),
];

const GAUGES: [(&str, &str); 3] = [
    (
        "trace_exporter_up",
        "Whether the last export of spans worked",
    ),
    (
        "trace_queue_capacity",
        "Spans that may wait for their export",
    ),
    ("trace_queue_length", "Spans that wait for their export"),
];

fn describe() {
    for (name, help) in COUNTERS {
        ::metrics::describe_counter!(name, help);
    }
    for (name, help) in GAUGES {
        ::metrics::describe_gauge!(name, help);
    }
    ::metrics::describe_histogram!(
        "trace_export_duration_seconds",
        "How long exports of spans took, retries included"
    );
}

/// Calls `publish` before each scrape.
pub(crate) fn before_scrape(publish: impl Fn() + Send + Sync + 'static) {
    ops_metrics::before_scrape(publish);
}
