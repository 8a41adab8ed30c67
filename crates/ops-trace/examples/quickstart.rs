//! Spans with and without a collector: `cargo run -p ops-trace --example quickstart`.
//!
//! `OTEL_TRACES_EXPORTER=console` shows them here; without it they go to `OTEL_EXPORTER_OTLP_ENDPOINT`, or to
//! `http://localhost:4318`, where nobody needs to listen.

#![allow(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

use ops_trace::{Config, span};

fn main() -> Result<(), ops_trace::Error> {
    let tracer = ops_trace::init(Config::new("quickstart").service_version("1.0.0"))?;
    let rows = span!("query_database", table = "users", operation = "SELECT").in_scope(|query| {
        println!("in trace {}", ops_trace::get_current_trace_id());
        let rows = span!("read_rows").in_scope(|_| vec!["ada", "grace"]);
        query.set_attribute("row_count", rows.len());
        rows
    });
    println!(
        "{} rows; outside of it: {}",
        rows.len(),
        ops_trace::get_current_trace_id()
    );
    tracer.flush(); // the ring of recent traces is filled by the export
    for trace in ops_trace::recent().recent {
        println!("{}: {} spans", trace.trace_id, trace.spans.len());
    }
    let stats = tracer.shutdown_blocking(Duration::from_secs(3));
    println!(
        "{} ended, {} exported, {} dropped",
        stats.ended_sampled,
        stats.exported,
        stats.dropped()
    );
    Ok(())
}
