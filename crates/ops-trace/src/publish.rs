use metrics::{counter, gauge, histogram};

use crate::{Handle, SignalStats, Stats, global};

/// Sets the `trace_*` metrics of the installed `metrics` recorder to the values of [`stats`](crate::stats).
pub fn publish_metrics() {
    match global() {
        Some(handle) => handle.publish_metrics(),
        None => publish(&Stats::default(), &[]),
    }
}

impl Handle {
    /// Sets the `trace_*` metrics from this handle; see [`publish_metrics`](crate::publish_metrics).
    pub fn publish_metrics(&self) {
        publish(&self.stats(), &self.take_export_seconds());
        for (signal, stats) in self.signals().stats() {
            publish_signal(signal, &stats);
        }
    }
}

fn publish(stats: &Stats, export_seconds: &[f64]) {
    counter!("trace_spans_exported_total").absolute(stats.exported);
    counter!("trace_spans_rejected_total").absolute(stats.rejected);
    for (reason, dropped) in [
        ("queue_full", stats.dropped_queue_full),
        ("export_failed", stats.dropped_export_failed),
        ("circuit_open", stats.dropped_circuit_open),
        ("shutdown", stats.dropped_shutdown),
        ("no_exporter", stats.dropped_no_exporter),
    ] {
        counter!("trace_spans_dropped_total", "reason" => reason).absolute(dropped);
    }
    for (kind, failures) in [
        ("refused", stats.failures.refused),
        ("timeout", stats.failures.timeout),
        ("http_4xx", stats.failures.http_4xx),
        ("http_5xx", stats.failures.http_5xx),
        ("other", stats.failures.other),
        ("partial", stats.partial_successes),
    ] {
        counter!("trace_export_failures_total", "kind" => kind).absolute(failures);
    }
    // registered from the start, even if nothing was exported
    let duration = histogram!("trace_export_duration_seconds");
    for seconds in export_seconds {
        duration.record(*seconds);
    }
    gauge!("trace_queue_length").set(stats.queued as f64);
    gauge!("trace_queue_capacity").set(stats.queue_capacity as f64);
    gauge!("trace_exporter_up").set(f64::from(u8::from(stats.exporter_up)));
}

/// Sets the metrics of a signal. Signals that are not exported have none.
fn publish_signal(signal: &'static str, stats: &SignalStats) {
    counter!("otlp_exported_total", "signal" => signal).absolute(stats.exported);
    counter!("otlp_rejected_total", "signal" => signal).absolute(stats.rejected);
    counter!("otlp_export_failures_total", "signal" => signal).absolute(stats.export_failures);
    for (reason, dropped) in [
        ("queue_full", stats.dropped_queue_full),
        ("export_failed", stats.dropped_export_failed),
        ("circuit_open", stats.dropped_circuit_open),
        ("shutdown", stats.dropped_shutdown),
    ] {
        counter!("otlp_dropped_total", "signal" => signal, "reason" => reason).absolute(dropped);
    }
    gauge!("otlp_queue_length", "signal" => signal).set(stats.queued as f64);
    gauge!("otlp_exporter_up", "signal" => signal).set(f64::from(u8::from(stats.exporter_up)));
}
