//! Spans of the `tracing` crate in a process whose subscriber ops-layer installed.

use ops_layer::trace::{get_current_trace_id, recent, span};

use crate::OPS;

fn line(event: &str) -> serde_json::Value {
    let lines = ops_layer::log::recent(1_000);
    let found = lines.iter().find(|line| line.contains(event));
    serde_json::from_str(found.unwrap()).unwrap()
}

#[test]
fn a_span_of_a_library_is_on_its_lines_and_among_the_recent_traces() {
    let _ops = &*OPS;
    let id = tracing::info_span!("library_call", table = "users").in_scope(|| {
        span!("inside_of_it").in_scope(|_| {
            tracing::info!("line_of_a_library");
            get_current_trace_id()
        })
    });
    let line = line("line_of_a_library");
    assert_eq!(line["trace_id"], id.as_str());
    assert_eq!(line["table"], "users", "{line}");
    ops_layer::trace::global().unwrap().flush();
    let recent = recent().recent;
    let shown = recent.iter().find(|trace| trace.trace_id == id).unwrap();
    let names: Vec<&str> = shown.spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["library_call", "inside_of_it"]);
}

#[test]
fn what_happens_on_the_export_thread_makes_no_span() {
    use std::sync::mpsc;

    let _ops = &*OPS;
    let (seen, exported) = mpsc::channel();
    ops_layer::trace::set_attribute_filter(move |key, _| {
        // the filter runs on the thread of the exporter, whose client may use `tracing`
        if key == "exports" {
            let inside = tracing::info_span!("http_client").in_scope(get_current_trace_id);
            let _ = seen.send(inside);
        }
        None
    });
    drop(span!("exported", exports = "yes"));
    ops_layer::trace::global().unwrap().flush();
    assert_eq!(exported.recv().unwrap(), "no-trace");
}
