use metrics::{counter, gauge};

/// Sets the `trace_*` metrics to what [`stats`](crate::stats) says, in the installed `metrics` recorder.
pub fn publish_metrics() {
    let stats = crate::stats();
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
    counter!("trace_export_failures_total").absolute(stats.export_failures);
    gauge!("trace_queue_length").set(stats.queued as f64);
    gauge!("trace_queue_capacity").set(stats.queue_capacity as f64);
    gauge!("trace_exporter_up").set(f64::from(u8::from(stats.exporter_up)));
}
