//! Failed and slow requests, whatever the sampler decides: in the ring, and exported if that is configured.

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use ops_trace::axum::instrument_axum_with;
use ops_trace::testing::Collector;
use ops_trace::{Config, Handle, RecentTrace, Tracer, span};

use crate::lines::lines_of;
use crate::served::{Served, body, spans};
use crate::{assert_balanced, config, flush_all};

const SLOW: Duration = Duration::from_millis(60);

fn tracer(collector: &Collector, keep: &str) -> Tracer {
    let config = Config::new("it").endpoint(collector.endpoint());
    let config = config.environment([("OPS_TRACE_KEEP", keep)]);
    Tracer::new(config.sampling_ratio(0.0).slow_after(SLOW)).unwrap()
}

/// Serves routes that each create two spans below the request's.
async fn serve(handle: Handle) -> Served {
    let spans = spans(handle.clone());
    let work = move |sleep: Duration| {
        span!(tracer: handle, "outer").in_scope(|_| {
            span!(tracer: handle, "inner", n = 1).in_scope(|_| std::thread::sleep(sleep));
        });
        ops_trace::get_current_trace_id()
    };
    let (fast, slow, fails) = (work.clone(), work.clone(), work);
    let router = Router::new()
        .route("/fast", get(|| async move { fast(Duration::ZERO) }))
        .route("/slow", get(|| async move { slow(SLOW) }))
        .route(
            "/fails",
            get(|| async move {
                let id = fails(Duration::ZERO);
                (axum::http::StatusCode::INTERNAL_SERVER_ERROR, id)
            }),
        );
    Served::start(instrument_axum_with(router, spans)).await
}

/// Returns the context of a process that did not sample its trace.
fn remote_caller() -> Context {
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from(7),
        SpanId::from(9),
        TraceFlags::default(),
        true,
        TraceState::default(),
    ))
}

/// Requests these paths, and returns the traces; `None` if a request took as long as a slow one without being one,
/// which may happen on a busy machine: the result proves nothing then.
async fn ask(served: &Served, paths: &[&'static str]) -> Option<Vec<(&'static str, String)>> {
    let mut ids = Vec::new();
    for path in paths {
        let started = Instant::now();
        let answer = served.send(&format!("GET /{path}"), &[]).await;
        if *path != "slow" && started.elapsed() >= SLOW {
            return None;
        }
        ids.push((*path, body(&answer).to_owned()));
    }
    Some(ids)
}

fn names(traces: &[RecentTrace]) -> Vec<(&str, usize)> {
    let names = traces.iter();
    names
        .map(|trace| {
            let root = trace.spans.iter().find(|span| span.name.starts_with("GET"));
            (root.unwrap().name.as_str(), trace.spans.len())
        })
        .collect()
}

#[tokio::test]
async fn the_ring_has_failed_and_slow_requests_that_are_not_sampled() {
    let (collector, tracer) = loop {
        let collector = Collector::start().unwrap();
        let tracer = tracer(&collector, "");
        let served = serve(tracer.handle()).await;
        if let Some(ids) = ask(&served, &["fast", "slow", "fails", "fast"]).await {
            assert!(ids.iter().all(|(_, id)| id.len() == 32), "{ids:?}");
            break (collector, tracer);
        }
    };
    flush_all(&tracer);
    let traces = tracer.recent();
    assert_eq!(names(&traces.errors), [("GET /fails", 1)]);
    assert_eq!(names(&traces.slow), [("GET /slow", 1)]);
    assert!(traces.recent.is_empty(), "those are sampled ones");
    let span = &traces.errors[0].spans[0];
    let attribute = |key: &str| {
        let found = span.attributes.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(attribute("http.response.status_code"), Some("500"));
    assert_eq!(attribute("http.route"), Some("/fails"));
    assert_eq!(attribute("url.path"), Some("/fails"));
    let stats = tracer.shutdown_blocking(crate::SOON);
    assert_eq!((collector.requests(), stats.ended_sampled), (0, 0));
    assert_balanced(&stats);
}

/// Unsampled traces are put aside: they evict no sampled trace, however many of them fail at once.
#[tokio::test]
async fn a_sampled_trace_stays_while_many_that_are_not_sampled_fail() {
    let collector = Collector::start().unwrap();
    let tracer = tracer(&collector, "");
    let served = serve(tracer.handle()).await;
    let id = "0af7651916cd43dd8448eb211c80319c";
    let sampled = format!("00-{id}-b7ad6b7169203331-01");
    served.send("GET /fast", &[("traceparent", &sampled)]).await;
    for _ in 0..70 {
        served.send("GET /fails", &[]).await;
    }
    tracer.flush();
    let traces = tracer.recent();
    assert_eq!(names(&traces.recent), [("GET /fast", 3)]);
}

#[tokio::test]
async fn what_is_kept_by_configuration_is_exported_with_all_of_its_spans() {
    let all = "GET /%p (server)%e http.request.method=GET";
    for (keep, arrive) in [
        ("errors,slow", vec!["fails", "slow"]),
        ("errors", vec!["fails"]),
        ("slow", vec!["slow"]),
        ("none", vec![]),
    ] {
        let (collector, tracer, ids) = loop {
            let collector = Collector::start().unwrap();
            let tracer = tracer(&collector, keep);
            let served = serve(tracer.handle()).await;
            if let Some(ids) = ask(&served, &["fast", "slow", "fails", "fast"]).await {
                break (collector, tracer, ids);
            }
        };
        flush_all(&tracer);
        let spans = collector.spans();
        assert_eq!(spans.len(), 3 * arrive.len(), "{keep}");
        for (path, id) in &ids {
            let of_trace: Vec<_> = spans.iter().filter(|span| span.trace_id == *id).collect();
            let expected = if arrive.contains(path) { 3 } else { 0 };
            assert_eq!(of_trace.len(), expected, "{keep} {path}");
        }
        let text = collector.snapshot();
        for path in &arrive {
            let error = if *path == "fails" { " ERROR" } else { "" };
            let root = all.replace("%p", path).replace("%e", error);
            assert!(text.contains(&root), "{text}");
        }
        assert!(
            arrive.is_empty() || text.contains("\n  outer\n    inner n=1\n"),
            "{text}"
        );
        let traces = tracer.recent();
        let spans = if keep == "none" { 1 } else { 3 };
        assert_eq!(names(&traces.errors), [("GET /fails", spans)], "{keep}");
        assert_eq!(names(&traces.slow), [("GET /slow", spans)], "{keep}");
        assert_balanced(&tracer.stats());
        assert_eq!(
            tracer.stats().ended_sampled as usize,
            collector.spans().len()
        );
        assert_eq!(tracer.stats().tail_evicted, 0);
    }
}

fn keeping(collector: &Collector) -> Tracer {
    let config = config(&collector.endpoint()).keep_errors(true);
    Tracer::new(config.sampling_ratio(0.0)).unwrap()
}

#[test]
fn a_failure_anywhere_below_the_root_keeps_the_trace_and_late_spans_follow() {
    let collector = Collector::start().unwrap();
    let tracer = keeping(&collector);
    let mut late = None;
    span!(tracer: tracer, "root").in_scope(|_| {
        span!(tracer: tracer, "fails").in_scope(|span| span.set_error("timeout"));
        span!(tracer: tracer, "works").in_scope(|_| {});
        late = Some(span!(tracer: tracer, "late"));
    });
    drop(late);
    let late = span!(tracer: tracer, "fine").in_scope(|_| span!(tracer: tracer, "late too"));
    drop(late);
    tracer.flush();
    assert_eq!(
        collector.snapshot(),
        "root\n  fails ERROR error.type=timeout\n  works\n  late\n"
    );
    assert_eq!(tracer.recent().errors.len(), 1);
}

#[test]
fn requests_of_one_trace_are_decided_one_by_one() {
    let collector = Collector::start().unwrap();
    let tracer = keeping(&collector);
    let _caller = remote_caller().attach();
    // two requests of one caller, interleaved: the first one works, the second one fails
    let works = span!(tracer: tracer, "works");
    let fails = span!(tracer: tracer, "fails");
    {
        let _entered = works.enter();
        drop(span!(tracer: tracer, "child of works"));
    }
    {
        let _entered = fails.enter();
        drop(span!(tracer: tracer, "child of fails"));
    }
    drop(works);
    fails.set_error("500");
    drop(fails);
    tracer.flush();
    assert_eq!(
        collector.snapshot(),
        "fails ERROR error.type=500\n  child of fails\n"
    );
}

#[test]
fn a_nested_trace_that_is_too_large_keeps_connected_spans() {
    for failing in [0, 35, 69, 99] {
        let collector = Collector::start().unwrap();
        let tracer = keeping(&collector);
        span!(tracer: tracer, "root").in_scope(|_| {
            span!(tracer: tracer, "load").in_scope(|_| {
                for n in 0..100 {
                    let query = span!(tracer: tracer, "query");
                    if n == failing {
                        query.set_error("timeout");
                    }
                }
            });
        });
        tracer.flush();
        let tree = collector.snapshot();
        let queries = tree.matches("\n    query").count();
        assert!(tree.starts_with("root\n  load\n"), "{tree}");
        assert_eq!((queries, collector.spans().len()), (62, 64), "{tree}");
        assert_eq!(tree.matches("query ERROR").count(), 1, "{tree}");
        assert_eq!(tracer.stats().tail_evicted, 38);
    }
}

#[test]
fn a_trace_with_more_failures_than_have_room_is_kept() {
    let collector = Collector::start().unwrap();
    let tracer = keeping(&collector);
    span!(tracer: tracer, "root").in_scope(|_| {
        let load = span!(tracer: tracer, "load");
        for n in 0..100 {
            let _entered = load.enter();
            let query = span!(tracer: tracer, "query");
            if n < 70 {
                query.set_error("timeout");
            }
        }
    });
    tracer.flush();
    assert_eq!(collector.spans().len(), 64);
}

#[test]
fn late_spans_follow_the_decision_of_the_root_that_they_are_below() {
    let collector = Collector::start().unwrap();
    let tracer = keeping(&collector);
    let _caller = remote_caller().attach();
    // a request that fails, and leaves work behind, a part of which ends before the request
    let mut late = None;
    span!(tracer: tracer, "fails").in_scope(|span| {
        let work = span!(tracer: tracer, "late");
        {
            let _entered = work.enter();
            drop(span!(tracer: tracer, "part of late"));
        }
        late = Some(work);
        span.set_error("500");
    });
    // the retry succeeds
    span!(tracer: tracer, "works").in_scope(|_| {
        drop(span!(tracer: tracer, "child of works"));
    });
    let late = late.unwrap();
    {
        let _entered = late.enter();
        drop(span!(tracer: tracer, "second part"));
    }
    drop(late);
    tracer.flush();
    assert_eq!(
        collector.snapshot(),
        "fails ERROR error.type=500\n  late\n    part of late\n    second part\n"
    );
}

#[test]
fn waiting_spans_are_bounded_and_evictions_are_counted() {
    let collector = Collector::start().unwrap();
    let tracer = keeping(&collector);
    span!(tracer: tracer, "wide").in_scope(|span| {
        for _ in 0..100 {
            drop(span!(tracer: tracer, "child"));
        }
        span.set_error("500");
    });
    tracer.flush();
    assert_eq!(collector.spans().len(), 64);
    assert_eq!(tracer.stats().tail_evicted, 37);
    // roots that never end
    let roots: Vec<_> = (0..5000).map(|_| span!(tracer: tracer, "open")).collect();
    for root in &roots {
        let _entered = root.enter();
        let child = span!(tracer: tracer, "child");
        child.set_attribute("text", "x".repeat(8000));
    }
    let evicted = tracer.stats().tail_evicted - 37;
    let bytes = (5000 - evicted) * 8000;
    assert!((5000 - 2048..5000).contains(&evicted), "{evicted}");
    assert!(bytes <= 16 * 1024 * 1024, "{bytes}");
    drop(roots);
    assert_balanced(&tracer.stats());
}

#[test]
fn many_failures_at_once_are_bounded_and_counted_in_the_ring_too() {
    let collector = Collector::start().unwrap();
    let tracer = tracer(&collector, "");
    let handle = tracer.handle();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    failing_request(&handle);
                }
            });
        }
    });
    tracer.flush();
    let traces = tracer.recent();
    let kept = traces.errors.len() as u64;
    assert!(kept > 0 && kept <= 100, "{kept}");
    assert_eq!(kept + traces.evicted, 4000);
    assert_eq!(tracer.stats().ended_sampled, 0);
}

fn failing_request(handle: &Handle) {
    use opentelemetry::trace::{Status, TraceContextExt};
    use ops_http::Observe;

    let observer = ops_trace::http::ServerSpans::new().handle(handle.clone());
    let mut request = axum::http::Request::new(()).into_parts().0;
    let mut scope = observer.start(&mut request);
    {
        let _entered = observer.enter(&mut scope);
        let context = opentelemetry::Context::current();
        context.span().set_status(Status::error(""));
    }
    drop(scope);
}

#[test]
fn the_ratio_can_be_raised_for_a_time_while_traces_are_kept() {
    let collector = Collector::start().unwrap();
    let tracer = keeping(&collector);
    drop(span!(tracer: tracer, "before"));
    tracer.set_sampling_ratio(1.0, crate::SOON).unwrap();
    drop(span!(tracer: tracer, "sampled"));
    tracer.set_sampling_ratio(1.0, Duration::ZERO).unwrap();
    drop(span!(tracer: tracer, "after"));
    tracer.flush();
    assert_eq!(collector.snapshot(), "sampled\n");
    assert_eq!(tracer.sampling_ratio(), 0.0);
}

#[test]
fn the_program_wins_over_the_variable() {
    for (config, works) in [
        (Config::new("it").keep_errors(false), false),
        (Config::new("it").keep_slow(false), true),
    ] {
        let collector = Collector::start().unwrap();
        let config = config
            .endpoint(collector.endpoint())
            .environment([("OPS_TRACE_KEEP", "errors")]);
        let (tracer, lines) = lines_of(|| Tracer::new(config.sampling_ratio(0.0)).unwrap());
        assert_eq!(lines.len(), 1);
        span!(tracer: tracer, "fails").in_scope(|span| span.set_error("500"));
        tracer.flush();
        assert_eq!(collector.spans().len() == 1, works);
    }
}

const SLOW_OF_MANY: Duration = Duration::from_millis(5);

/// Returns settings that export all failed and slow requests, and one in a hundred of the others.
pub(crate) fn settings_of_many(endpoint: &str) -> Config {
    let config = config(endpoint).keep_errors(true).keep_slow(true);
    let config = config.slow_after(SLOW_OF_MANY);
    config.queue_spans(65_536).sampling_ratio(0.01)
}

/// Serves requests of four spans each; one in a thousand fails and one is slow. Returns the traces of those.
pub(crate) fn serve_many(tracer: &Tracer, requests: usize) -> Vec<String> {
    use opentelemetry::trace::{Status, TraceContextExt};
    use ops_http::Observe;

    let observer = ops_trace::http::ServerSpans::new().handle(tracer.handle());
    let mut kept = Vec::new();
    for n in 0..requests {
        let mut request = axum::http::Request::new(()).into_parts().0;
        let mut scope = observer.start(&mut request);
        {
            let _entered = observer.enter(&mut scope);
            for _ in 0..3 {
                drop(span!(tracer: tracer, "child"));
            }
            match n % 1000 {
                7 => opentelemetry::Context::current()
                    .span()
                    .set_status(Status::error("")),
                8 => std::thread::sleep(Duration::from_millis(6)),
                _ => continue,
            }
            kept.push(ops_trace::get_current_trace_id());
        }
        if n % 10_000 == 8 {
            tracer.flush();
        }
    }
    assert_eq!(kept.len(), requests / 500);
    kept
}

/// Serves 20,000 requests, or 1,000,000 with `OPS_TEST_FULL=1`.
#[test]
fn of_many_requests_all_failed_and_slow_ones_arrive_with_all_of_their_spans() {
    use std::collections::HashMap;

    let full = std::env::var_os("OPS_TEST_FULL").is_some();
    let requests = if full { 1_000_000 } else { 20_000 };
    let collector = Collector::start().unwrap();
    let tracer = Tracer::new(settings_of_many(&collector.endpoint())).unwrap();
    let kept = serve_many(&tracer, requests);
    let stats = tracer.shutdown_blocking(crate::SOON);
    assert_balanced(&stats);
    assert_eq!((stats.dropped(), stats.tail_evicted), (0, 0), "{stats:?}");
    let mut spans: HashMap<String, (usize, bool)> = HashMap::new();
    for span in collector.spans() {
        let (count, is_slow) = spans.entry(span.trace_id).or_default();
        *count += 1;
        *is_slow |= span.duration >= SLOW_OF_MANY;
    }
    for id in &kept {
        assert_eq!(spans.remove(id).map(|(count, _)| count), Some(4), "{id}");
    }
    assert!(spans.values().all(|(count, _)| *count == 4), "{spans:?}");
    // some of the other requests are slow on a busy machine
    let sampled = spans.values().filter(|(_, is_slow)| !is_slow).count();
    let expected = requests / 100;
    assert!((expected / 2..expected * 2).contains(&sampled), "{sampled}");
}
