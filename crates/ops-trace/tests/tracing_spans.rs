//! Spans of the `tracing` crate and of this crate in one trace. In a separate process, because subscribers with filters
//! would affect the events of other tests too.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use ops_trace::testing::Collector;
use ops_trace::{Config, Tracer, get_current_trace_id, span};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

/// Delay of events that must not happen during the test.
const LATER: Duration = Duration::from_secs(60);

fn traced() -> (Collector, Tracer) {
    filtered(&[])
}

fn with(tracer: &Tracer, work: impl FnOnce()) {
    let subscriber = tracing_subscriber::registry().with(tracer.tracing_layer());
    tracing::subscriber::with_default(subscriber, work);
}

fn filtered(variables: &[(&str, &str)]) -> (Collector, Tracer) {
    let collector = Collector::start().unwrap();
    let config = Config::new("it").endpoint(collector.endpoint());
    let tracer = Tracer::new(config.environment(variables.iter().copied())).unwrap();
    (collector, tracer)
}

#[test]
fn tracing_spans_and_own_spans_are_children_of_each_other() {
    let (collector, tracer) = traced();
    with(&tracer, || {
        let theirs = tracing::info_span!("theirs", otel.kind = "client", table = "users");
        theirs.in_scope(|| {
            let id = get_current_trace_id();
            assert_eq!(id.len(), 32);
            span!(tracer: tracer, "ours").in_scope(|_| {
                assert_eq!(get_current_trace_id(), id);
                tracing::info_span!("inner", n = 1).in_scope(|| {
                    drop(span!(tracer: tracer, "innermost"));
                    let now = std::time::SystemTime::now();
                    let completed = tracer.completed_span("completed", now, Duration::ZERO);
                    completed.record();
                });
            });
            tracing::info_span!("sibling").in_scope(|| {});
        });
        assert_eq!(get_current_trace_id(), "no-trace");
    });
    tracer.flush();
    let text = collector.snapshot();
    let shape: Vec<String> = text
        .lines()
        .map(|line| {
            let (name, depth) = (line.trim_start(), line.len() - line.trim_start().len());
            let name = name.split(' ').next().unwrap();
            format!("{}{name}", &line[..depth])
        })
        .collect();
    assert_eq!(
        shape,
        [
            "theirs",
            "  ours",
            "    inner",
            "      innermost",
            "      completed",
            "  sibling"
        ],
        "{text}"
    );
    assert!(
        text.starts_with("theirs (client)") && text.contains("table=users"),
        "{text}"
    );
    assert_eq!(tracer.recent().recent[0].spans.len(), 6);
}

#[test]
fn parents_hold_across_awaits_tasks_and_blocking_pools() {
    #[tracing::instrument(skip_all)]
    async fn load(tracer: &Tracer) {
        tokio::task::yield_now().await;
        span!(tracer: tracer, "query")
            .instrument(tokio::task::yield_now())
            .await;
    }

    let (collector, tracer) = traced();
    with(&tracer, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let request = span!(tracer: tracer, "request");
            let work = async {
                let id = get_current_trace_id();
                let first = load(&tracer);
                let second = async {
                    tokio::task::yield_now().await;
                    get_current_trace_id()
                };
                let ((), other) =
                    tokio::join!(first, second.instrument(tracing::info_span!("second")));
                assert_eq!(other, id);
                let task = ops_trace::spawn(
                    async { get_current_trace_id() }.instrument(tracing::info_span!("task")),
                );
                assert_eq!(task.await.unwrap(), id);
                let theirs = tracing::info_span!("theirs");
                let blocking = theirs.in_scope(|| ops_trace::spawn_blocking(get_current_trace_id));
                assert_eq!(blocking.await.unwrap(), id);
            };
            request.instrument(work).await;
        });
    });
    tracer.flush();
    let spans = collector.spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    for (child, parent) in [
        ("load", "request"),
        ("query", "load"),
        ("second", "request"),
        ("task", "request"),
        ("theirs", "request"),
    ] {
        assert_eq!(
            named(child).parent_span_id,
            named(parent).span_id,
            "{child}"
        );
    }
}

#[test]
fn targets_and_levels_are_chosen_and_what_is_left_out_is_transparent() {
    for (filter, expected) in [
        ("", vec!["info", "sqlx"]),
        ("debug", vec!["info", "debug", "sqlx"]),
        ("sqlx=info", vec!["sqlx"]),
        ("info,sqlx=off", vec!["info"]),
        ("off", vec![]),
        ("info, sqlx = off,", vec!["info"]),
        ("info,tracing-spans=off", vec!["sqlx"]),
        ("sqlx", vec!["sqlx"]),
        ("ops_trace=trace,opentelemetry_sdk=trace", vec![]),
    ] {
        let (collector, tracer) = filtered(&[("OPS_TRACE_FILTER", filter)]);
        with(&tracer, || {
            span!(tracer: tracer, "outside").in_scope(|_| {
                let outside = get_current_trace_id();
                for span in [
                    tracing::info_span!("info"),
                    tracing::debug_span!("debug"),
                    tracing::info_span!(target: "sqlx::query", "sqlx"),
                    tracing::info_span!(target: "ops_trace", "own"),
                    tracing::info_span!(target: "opentelemetry_sdk", "sdk"),
                ] {
                    span.in_scope(|| {
                        assert_eq!(get_current_trace_id(), outside);
                        tracing::error!("an event");
                    });
                }
            });
        });
        tracer.flush();
        let spans = collector.spans();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        let theirs: Vec<&str> = names.iter().filter(|n| **n != "outside").copied().collect();
        assert_eq!(theirs, expected, "{filter}");
        assert!(spans.iter().all(|span| span.events.is_empty()), "{filter}");
    }
}

#[test]
fn targets_that_are_no_modules_are_chosen_by_their_names() {
    let filter = "off,my-app=info,web/pages=info,other-app=info";
    let (collector, tracer) = filtered(&[("OPS_TRACE_FILTER", filter)]);
    assert!(tracer.unusable().is_empty());
    with(&tracer, || {
        drop(tracing::info_span!(target: "my-app", "named").entered());
        drop(tracing::info_span!(target: "web/pages", "path").entered());
        drop(tracing::info_span!(target: "other_app::start", "package").entered());
    });
    tracer.flush();
    assert_eq!(collector.spans().len(), 3);
}

#[test]
fn a_filter_with_a_typo_is_logged_and_leaves_out_no_span() {
    for filter in [
        ",",
        "debg",
        "inof",
        "warning",
        "none",
        "info,erorr",
        "$LEVEL",
        "info,${DB}=debug",
        "warn/db",
        "\"info\"",
        "info sqlx=debug",
        "db::*=debug",
        "warp",
        "db[query]=trace",
        "info,db[{id}]=debug",
        "[query]",
    ] {
        let (collector, tracer) = filtered(&[("OPS_TRACE_FILTER", filter)]);
        let logged = ("OPS_TRACE_FILTER", "info".to_owned());
        assert_eq!(tracer.unusable(), [logged], "{filter}");
        with(&tracer, || drop(tracing::info_span!("theirs").entered()));
        tracer.flush();
        assert_eq!(collector.spans().len(), 1, "{filter}");
    }
    for filter in ["warp=trace", "hyper", "my_crate::debg", "5"] {
        let (_collector, tracer) = filtered(&[("OPS_TRACE_FILTER", filter)]);
        assert!(tracer.unusable().is_empty(), "{filter}");
    }
}

#[test]
fn events_are_taken_by_choice() {
    let (collector, tracer) = filtered(&[("OPS_TRACE_EVENTS", "true")]);
    with(&tracer, || {
        tracing::info_span!("theirs").in_scope(|| tracing::info!(n = 1, "an event"));
    });
    tracer.flush();
    assert_eq!(collector.spans()[0].events.len(), 1);
}

#[test]
fn spans_that_are_not_sampled_have_ids_and_with_tracing_off_what_is_outside_stays() {
    let (collector, tracer) = traced();
    tracer.set_sampling_ratio(0.0, LATER).unwrap();
    with(&tracer, || {
        tracing::info_span!("theirs").in_scope(|| assert_eq!(get_current_trace_id().len(), 32));
    });
    tracer.flush();
    assert_eq!(collector.requests(), 0);
    let (collector, off) = filtered(&[("OTEL_SDK_DISABLED", "true")]);
    let (_collector, other) = traced();
    with(&off, || {
        span!(tracer: other, "outside").in_scope(|_| {
            let outside = get_current_trace_id();
            tracing::info_span!("theirs").in_scope(|| assert_eq!(get_current_trace_id(), outside));
        });
    });
    assert_eq!(collector.requests(), 0);
}

#[test]
fn errors_that_functions_return_and_panics_fail_their_spans_also_without_events() {
    #[tracing::instrument(err)]
    fn parse(text: &str) -> Result<u8, std::num::ParseIntError> {
        text.parse()
    }

    let (collector, tracer) = traced();
    with(&tracer, || {
        parse("x").unwrap_err();
        parse("1").unwrap();
        let panicked = std::panic::catch_unwind(|| {
            tracing::info_span!("panics").in_scope(|| std::panic::resume_unwind(Box::new(())));
        });
        assert!(panicked.is_err());
        tracing::info_span!("logs").in_scope(|| tracing::error!(error = "e", "an event"));
    });
    tracer.flush();
    let text = collector.snapshot();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("ERROR") && lines[0].contains("text=x"),
        "{text}"
    );
    assert!(
        !lines[1].contains("ERROR") && lines[1].contains("text=1"),
        "{text}"
    );
    assert!(lines[2].contains("error.type=panic"), "{text}");
    assert!(!lines[3].contains("ERROR"), "{text}");
    let spans = collector.spans();
    let failed = spans.iter().find(|span| !span.events.is_empty()).unwrap();
    assert!(
        format!("{:?}", failed.events).contains("exception"),
        "{text}"
    );
}

#[test]
fn an_event_about_an_error_that_was_dealt_with_fails_no_span() {
    let (collector, tracer) = traced();
    with(&tracer, || {
        let error = "x".parse::<u8>().unwrap_err();
        let attempts = tracing::info_span!("attempts");
        attempts.in_scope(|| tracing::warn!(error = %error, attempt = 1));
        attempts.in_scope(|| tracing::info!(attempt = 2, %error, "again"));
    });
    tracer.flush();
    let text = collector.snapshot();
    assert!(!text.contains("ERROR"), "{text}");
    assert!(collector.spans()[0].events.is_empty());
}

#[test]
fn fields_set_name_kind_status_and_numbers() {
    let (collector, tracer) = traced();
    with(&tracer, || {
        let span = tracing::info_span!(
            "callsite",
            otel.name = "GET /users",
            otel.kind = "CLIENT",
            rows = 3_u64,
            late = tracing::field::Empty
        );
        span.record("late", "yes");
        span.record("rows", 4_u64);
        span.follows_from(&tracing::info_span!("before"));
    });
    tracer.flush();
    let text = collector.snapshot();
    let line = text
        .lines()
        .find(|line| line.starts_with("GET /users"))
        .unwrap();
    assert!(
        line.contains("(client)") && line.contains("rows=4"),
        "{text}"
    );
    assert!(
        line.contains("late=yes") && !line.contains("otel."),
        "{text}"
    );
}

#[test]
fn below_a_request_that_is_not_sampled_spans_share_its_ids_and_a_root_has_its_own() {
    let (collector, tracer) = traced();
    with(&tracer, || {
        tracer.set_sampling_ratio(0.0, LATER).unwrap();
        let request = span!(tracer: tracer, "request");
        let outside = request.ids().unwrap();
        request.in_scope(|_| {
            tracing::info_span!("child").in_scope(|| {
                assert_eq!(ops_trace::current_span_ids(), Some(outside));
            });
            tracer.set_sampling_ratio(1.0, LATER).unwrap();
            tracing::info_span!(parent: None, "job").in_scope(|| {
                assert_ne!(
                    ops_trace::current_span_ids().unwrap().trace_id,
                    outside.trace_id
                );
                assert!(ops_trace::current_sampled_trace_id().is_some());
            });
            assert_eq!(ops_trace::current_sampled_trace_id(), None);
        });
    });
    tracer.flush();
    let names: Vec<String> = collector
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    assert_eq!(names, ["job"]);
}

#[test]
fn a_value_that_is_huge_or_panics_harms_nothing() {
    struct Bad;
    impl std::fmt::Debug for Bad {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            // enters a span, as user code may do while it is formatted
            tracing::info_span!("nested").in_scope(|| std::panic::resume_unwind(Box::new(())))
        }
    }

    let (collector, tracer) = traced();
    with(&tracer, || {
        let huge = "x".repeat(1 << 20);
        tracing::info_span!("holds", bad = ?Bad, huge = ?huge).in_scope(|| {});
    });
    tracer.flush();
    let text = collector.snapshot();
    let line = text.lines().find(|line| line.starts_with("holds")).unwrap();
    assert!(
        line.contains("bad=***") && line.len() < 20_000,
        "{}",
        line.len()
    );
}

#[test]
fn roots_are_sampled_at_the_ratio_each_once_and_with_all_that_is_below() {
    let (collector, tracer) = filtered(&[
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
    ]);
    let (mut ids, mut sampled) = (Vec::new(), Vec::new());
    with(&tracer, || {
        for _ in 0..300 {
            tracing::info_span!("root").in_scope(|| {
                let id = get_current_trace_id();
                sampled.extend(ops_trace::current_sampled_trace_id().map(|_| id.clone()));
                tracing::info_span!("child").in_scope(|| assert_eq!(get_current_trace_id(), id));
                ids.push(id);
            });
            // a root of this crate in between has its own decision
            span!(tracer: tracer, "ours").in_scope(|_| ids.push(get_current_trace_id()));
        }
    });
    assert!((90..210).contains(&sampled.len()), "{}", sampled.len());
    tracer.flush();
    let spans = collector.spans();
    let mut roots: Vec<_> = spans.iter().filter(|span| span.name == "root").collect();
    roots.sort_by(|a, b| a.trace_id.cmp(&b.trace_id));
    sampled.sort_unstable();
    let received: Vec<_> = roots.iter().map(|span| span.trace_id.clone()).collect();
    assert_eq!(received, sampled);
    let children = spans.iter().filter(|span| span.name == "child").count();
    assert_eq!(children, sampled.len());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 600, "no id is used twice");
}
