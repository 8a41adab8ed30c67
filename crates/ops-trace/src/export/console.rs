use std::io::Write;

use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;

/// Writes one line for each span: `OTEL_TRACES_EXPORTER=console`, for use without a collector.
pub(crate) fn write(batch: &[SpanData]) {
    let mut out = std::io::stdout().lock();
    for span in batch {
        // a closed standard output is not a reason to stop
        let _ = writeln!(out, "{}", line(span));
    }
}

fn line(span: &SpanData) -> String {
    let duration = span.end_time.duration_since(span.start_time);
    let mut line = format!(
        "trace={} span={} parent={} {:?} {:.3?}",
        span.span_context.trace_id(),
        span.span_context.span_id(),
        span.parent_span_id,
        span.name,
        duration.unwrap_or_default(),
    );
    if matches!(span.status, Status::Error { .. }) {
        line.push_str(" ERROR");
    }
    for attribute in &span.attributes {
        let value = attribute.value.to_string();
        line.push_str(&format!(" {}={value:?}", attribute.key));
    }
    line
}
