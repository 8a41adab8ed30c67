use std::time::{Duration, SystemTime};

use ops_trace::{Handle, Tracer, span};

use crate::traced;

fn trace(handle: &Handle, name: &'static str, millis: u64, error: bool) {
    let start = SystemTime::now();
    let span = handle.completed_span(name, start, Duration::from_millis(millis));
    if error { span.error("500") } else { span }.record();
}

#[test]
fn a_span_that_starts_before_1970_is_shown_and_hides_no_other() {
    let (collector, tracer) = traced();
    let start = SystemTime::UNIX_EPOCH - Duration::from_secs(2);
    let seconds = Duration::from_secs;
    for (name, duration) in [("part", seconds(5)), ("all", seconds(1))] {
        tracer.completed_span(name, start, duration).record();
    }
    tracer.flush();
    let recent = tracer.recent();
    assert!(serde_json::to_string(&recent).is_ok(), "{recent:?}");
    let lengths: Vec<_> = collector.spans().iter().map(|span| span.duration).collect();
    assert_eq!(lengths, [seconds(3), seconds(0)]);
}

#[test]
fn slow_traces_and_errors_outlive_many_fast_ones() {
    let (_collector, tracer) = traced();
    trace(&tracer, "slow", 1000, false);
    trace(&tracer, "error", 1, true);
    for _ in 0..500 {
        trace(&tracer, "fast", 1, false);
    }
    tracer.flush();
    let traces = tracer.recent();
    assert_eq!(traces.recent.len(), 50);
    assert!(traces.recent.iter().all(|t| t.spans[0].name == "fast"));
    let names = |traces: &[ops_trace::RecentTrace]| {
        let names = traces.iter().map(|t| t.spans[0].name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&traces.slow), ["slow"]);
    assert_eq!(names(&traces.errors), ["error"]);
    for _ in 0..200 {
        trace(&tracer, "error again", 1, true);
    }
    tracer.flush();
    let traces = tracer.recent();
    assert_eq!(
        traces.errors.len(),
        50 + 100,
        "the recent ones and 100 older ones"
    );
    assert_eq!(traces.evicted, 201 - 150, "of 201 failed ones");
    assert_eq!(names(&traces.slow), ["slow"]);
}

#[test]
fn a_waterfall_is_a_tree_with_offsets_from_the_start_of_the_trace() {
    let (_collector, tracer) = traced();
    // an hour from now, so that everything else this test does is before it, however long it takes
    let start = SystemTime::now() + Duration::from_secs(3600);
    let after = |millis| start + Duration::from_millis(millis);
    let record = |tracer: &Tracer, name: &'static str, at, millis| {
        let duration = Duration::from_millis(millis);
        tracer.completed_span(name, after(at), duration).record();
    };
    span!(tracer: tracer, "request").in_scope(|_| {
        record(&tracer, "second", 50, 20);
        record(&tracer, "first", 10, 5);
        span!(tracer: tracer, "nested").in_scope(|_| record(&tracer, "deep", 60, 1));
    });
    tracer.flush();
    let trace = &tracer.recent().recent[0];
    let bars = trace.waterfall();
    let seen: Vec<_> = bars
        .iter()
        .map(|bar| (bar.span.name.as_str(), bar.depth))
        .collect();
    assert_eq!(
        seen,
        [
            ("request", 0),
            ("nested", 1),
            ("deep", 2),
            ("first", 1),
            ("second", 1)
        ]
    );
    let offset = |name| {
        bars.iter()
            .find(|bar| bar.span.name == name)
            .unwrap()
            .offset
    };
    assert_eq!(
        offset("second") - offset("first"),
        Duration::from_millis(40)
    );
    assert_eq!(offset("request"), Duration::ZERO);
    assert!(
        trace.duration >= Duration::from_millis(3_600_061) - Duration::from_secs(60),
        "{:?}",
        trace.duration
    );
    assert!(serde_json::to_string(&bars).is_ok());
}

#[test]
fn a_trace_of_very_many_spans_is_shown_with_its_root_and_what_failed() {
    let (_collector, tracer) = traced();
    span!(tracer: tracer, "request", http.route = "/orders").in_scope(|_| {
        span!(tracer: tracer, "load").in_scope(|_| {
            for n in 0..200 {
                let query = span!(tracer: tracer, "query");
                if n == 150 {
                    query.set_error("timeout");
                }
            }
        });
    });
    tracer.flush();
    let traces = tracer.recent();
    let trace = &traces.errors[0];
    assert_eq!((trace.spans.len(), trace.spans_left_out), (64, 202 - 64));
    let attribute = &trace.spans[0].attributes[0];
    assert_eq!(
        (&*trace.spans[0].name, &*attribute.1),
        ("request", "/orders")
    );
    let bars = trace.waterfall();
    let depths: Vec<_> = bars.iter().map(|bar| bar.depth).collect();
    assert_eq!(depths, [vec![0, 1], vec![2; 62]].concat(), "one tree");
    let failed: Vec<_> = trace.spans.iter().filter(|span| span.error).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].name, "query");
}

#[test]
fn if_all_spans_failed_the_root_is_shown_all_the_same() {
    let (_collector, tracer) = traced();
    span!(tracer: tracer, "request").in_scope(|_| {
        for _ in 0..100 {
            span!(tracer: tracer, "query").set_error("timeout");
        }
    });
    tracer.flush();
    let trace = &tracer.recent().errors[0];
    assert_eq!((trace.spans.len(), trace.spans_left_out), (64, 101 - 64));
    assert_eq!(trace.spans[0].name, "request");
}

#[test]
fn a_root_without_children_is_kept_among_very_many_failed_spans() {
    let (_collector, tracer) = traced();
    let request = span!(tracer: tracer, "request", http.route = "/jobs");
    let entered = request.enter();
    let job = span!(tracer: tracer, "job");
    drop(entered);
    drop(request);
    job.in_scope(|_| {
        for _ in 0..100 {
            span!(tracer: tracer, "query").set_error("timeout");
        }
        tracer.flush();
        let trace = &tracer.recent().errors[0];
        assert_eq!((trace.spans.len(), trace.spans_left_out), (64, 101 - 64));
        assert_eq!(trace.spans[0].name, "request", "while the job goes on");
    });
    tracer.flush();
    let trace = &tracer.recent().errors[0];
    let names: Vec<_> = trace.spans.iter().take(3).map(|span| &*span.name).collect();
    assert_eq!(names, ["request", "job", "query"]);
    assert_eq!(trace.spans_left_out, 102 - 64);
}

#[test]
fn what_is_kept_is_bounded_however_much_a_span_carries() {
    let (_collector, tracer) = traced();
    for _ in 0..60 {
        span!(tracer: tracer, "root").in_scope(|_| {
            for _ in 0..100 {
                let child = span!(tracer: tracer, "child");
                for n in 0..40 {
                    child.set_attribute(format!("key{n}"), "x".repeat(300));
                }
            }
        });
        tracer.flush();
    }
    let traces = tracer.recent();
    let bytes: usize = traces
        .recent
        .iter()
        .flat_map(|t| &t.spans)
        .flat_map(|s| &s.attributes)
        .map(|(key, value)| key.len() + value.len())
        .sum();
    assert!(bytes <= 4 * 1024 * 1024, "{bytes}");
    let newest = &traces.recent[0];
    assert_eq!((newest.spans.len(), newest.spans_left_out), (64, 37));
    let child = newest.spans.iter().find(|s| s.name == "child").unwrap();
    assert_eq!(child.attributes.len(), 32);
    assert!(child.attributes.iter().all(|(_, value)| value.len() < 300));
}
