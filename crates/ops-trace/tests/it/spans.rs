use std::time::{Duration, SystemTime};

use ops_trace::{Config, Error, TraceContext, Tracer, span};

use crate::{SOON, assert_balanced, traced};

#[test]
fn spans_arrive_with_parents_attributes_and_errors() {
    let (collector, tracer) = traced();
    let id = span!(tracer: tracer, "outer", table = "users", db.system.name = "duckdb").in_scope(
        |outer| {
            outer.set_attribute("rows", 1_u32);
            span!(tracer: tracer, "inner", ok = true, share = 0.5).in_scope(|_| {});
            let start = SystemTime::now();
            tracer
                .completed_span("query", start, Duration::from_millis(5))
                .attribute("rows", 3_u64)
                .error("timeout")
                .record();
            ops_trace::get_current_trace_id()
        },
    );
    tracer.flush();
    assert_eq!(
        collector.snapshot(),
        "outer table=users db.system.name=duckdb rows=1\n  \
           inner ok=true share=0.5\n  \
           query ERROR rows=3 error.type=timeout\n"
    );
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace_id == id));
    let query = spans.iter().find(|span| span.name == "query").unwrap();
    assert_eq!(query.duration, Duration::from_millis(5));
    assert_eq!(query.status_message, "");
    let stats = tracer.shutdown_blocking(SOON);
    assert_balanced(&stats);
    assert_eq!((stats.exported, stats.dropped()), (3, 0));
}

#[test]
fn the_resource_names_service_version_and_instance() {
    let (collector, tracer) = {
        let collector = ops_trace::testing::Collector::start().unwrap();
        let config = Config::new("shop")
            .endpoint(collector.endpoint())
            .service_version("1.2.3")
            .resource_attribute("deployment.environment.name", "test")
            .environment([("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb, service.name=other")]);
        (collector, Tracer::new(config).unwrap())
    };
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
    let span = &collector.spans()[0];
    for (key, value) in [
        ("service.name", "other"), // of the environment
        ("service.version", "1.2.3"),
        ("deployment.environment.name", "test"),
        ("team", "a,b"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(span.resource(key), Some(value), "{key}");
    }
    assert_eq!(span.resource("service.instance.id").unwrap().len(), 36);
}

#[test]
fn trace_ids_are_known_inside_of_a_span_only() {
    let (_collector, tracer) = traced();
    assert_eq!(ops_trace::get_current_trace_id(), "no-trace");
    assert_eq!(ops_trace::current_span_ids(), None);
    let span = span!(tracer: tracer, "a");
    assert_eq!(ops_trace::get_current_trace_id(), "no-trace");
    let entered = span.enter();
    let id = ops_trace::get_current_trace_id();
    assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    let trace_id = ops_trace::current_span_ids().unwrap().trace_id;
    assert_eq!(id, format!("{:032x}", u128::from_be_bytes(trace_id)));
    drop(entered);
    assert_eq!(ops_trace::get_current_trace_id(), "no-trace");
}

#[test]
fn a_panic_marks_its_spans_in_scopes_and_in_futures() {
    let (collector, tracer) = traced();
    let panicked = std::panic::catch_unwind(|| {
        span!(tracer: tracer, "outer").in_scope(|_| {
            span!(tracer: tracer, "inner").in_scope(|_| panic!("on purpose"));
        });
    });
    assert!(panicked.is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let task = span!(tracer: tracer, "task").instrument(async { panic!("on purpose") });
    let joined = runtime
        .unwrap()
        .block_on(async { tokio::spawn(task).await });
    assert!(joined.unwrap_err().is_panic());
    tracer.flush();
    assert_eq!(
        collector.snapshot(),
        "outer ERROR error.type=panic\n  inner ERROR error.type=panic\ntask ERROR error.type=panic\n"
    );
}

#[test]
fn a_span_that_ends_while_another_panic_unwinds_is_none_of_its_errors() {
    struct OnDrop(Tracer);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            span!(tracer: self.0, "cleanup").in_scope(|_| {});
        }
    }
    let (collector, tracer) = traced();
    let handle = tracer.handle();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _on_drop = OnDrop(tracer);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    handle.flush();
    assert!(collector.wait_for_spans(1, SOON));
    assert_eq!(collector.snapshot(), "cleanup\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn context_goes_along_with_tasks_blocking_work_threads_and_channels() {
    let (collector, tracer) = traced();
    let child = {
        let handle = tracer.handle();
        move |name: &'static str| drop(span!(tracer: handle, name))
    };
    let work = {
        let (handle, child) = (tracer.handle(), child.clone());
        async move {
            let (a, b, c, d) = (child.clone(), child.clone(), child.clone(), child.clone());
            ops_trace::spawn(async move { a("1 task") }).await.unwrap();
            ops_trace::spawn_blocking(move || b("2 blocking"))
                .await
                .unwrap();
            ops_trace::spawn_thread(move || c("3 thread"))
                .join()
                .unwrap();
            let (send, receive) = std::sync::mpsc::channel::<Box<dyn FnOnce() + Send>>();
            send.send(Box::new(ops_trace::carry(move || d("4 channel"))))
                .unwrap();
            std::thread::spawn(move || receive.recv().unwrap()())
                .join()
                .unwrap();
            let bare = tokio::spawn(async { ops_trace::get_current_trace_id() });
            assert_eq!(bare.await.unwrap(), "no-trace");
            let e = child.clone();
            let later = async move { e("5 future") }.with_trace_context();
            tokio::spawn(later).await.unwrap();
            drop(handle);
        }
    };
    span!(tracer: tracer, "parent").instrument(work).await;
    tracer.shutdown(SOON).await;
    assert_eq!(
        collector.snapshot(),
        "parent\n  1 task\n  2 blocking\n  3 thread\n  4 channel\n  5 future\n"
    );
}

#[tokio::test]
async fn what_a_cancelled_future_drops_is_dropped_inside_of_its_span() {
    struct OnDrop(tokio::sync::oneshot::Sender<String>, ());
    impl OnDrop {
        fn send(self) {
            let _ = self.0.send(ops_trace::get_current_trace_id());
        }
    }
    struct Guard(Option<OnDrop>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.take().unwrap().send();
        }
    }
    let (_collector, tracer) = traced();
    let (send, receive) = tokio::sync::oneshot::channel();
    let guard = Guard(Some(OnDrop(send, ())));
    let future = span!(tracer: tracer, "cancelled").instrument(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    drop(future);
    assert_eq!(receive.await.unwrap().len(), 32);
}

#[test]
fn names_are_never_empty_long_or_unprintable() {
    let (collector, tracer) = traced();
    for name in [String::new(), "ä".repeat(150), "a\0b\nc".to_owned()] {
        drop(tracer.create_span(name, []));
    }
    tracer.flush();
    let names: Vec<String> = collector.spans().into_iter().map(|s| s.name).collect();
    assert_eq!(
        names,
        [
            "unnamed".to_owned(),
            "ä".repeat(100),
            "a\u{fffd}b\u{fffd}c".to_owned()
        ]
    );
}

#[test]
fn attributes_may_be_any_expressions_with_or_without_a_comma_at_the_end() {
    let (collector, tracer) = traced();
    let (table, rows) = (String::from("users"), [1, 2]);
    let name = "named";
    drop(span!(tracer: tracer, name,));
    drop(span!(
        tracer: &tracer,
        format!("{name}!"),
        literal = "text",
        number = 7,
        negative = -1,
        sum = 1 + 2,
        share = 0.25,
        yes = true,
        borrowed = &table,
        part = &table[..2],
        call = rows.len(),
        error.type = "odd",
        long = 5_000_000_000_u64,
    ));
    tracer.flush();
    assert_eq!(
        collector.snapshot(),
        "named\nnamed! literal=text number=7 negative=-1 sum=3 share=0.25 yes=true borrowed=users part=us \
         call=2 error.type=odd long=5000000000\n"
    );
}

#[test]
fn what_a_name_borrows_is_free_while_attributes_are_looked_at() {
    let (collector, tracer) = traced();
    let job = std::cell::RefCell::new(String::from("resize"));
    drop(span!(tracer: tracer, job.borrow_mut().clone(), length = job.borrow_mut().len()));
    let kind = ops_trace::SpanKind::Internal;
    drop(
        span!(tracer: tracer, kind: kind, job.borrow_mut().clone(), length = job.borrow_mut().len()),
    );
    tracer.flush();
    assert_eq!(collector.snapshot(), "resize length=6\nresize length=6\n");
}

#[test]
fn attributes_of_a_span_that_is_not_recorded_are_not_looked_at() {
    let (_collector, tracer) = traced();
    assert_eq!(tracer.sampling().remaining, None);
    tracer.set_sampling_ratio(0.0, SOON).unwrap();
    let sampling = tracer.sampling();
    assert_eq!((sampling.ratio, sampling.configured), (0.0, 1.0));
    assert!(sampling.remaining.is_some_and(|left| left <= SOON));
    let looked = std::cell::Cell::new(false);
    let value = || {
        looked.set(true);
        1
    };
    let id = span!(tracer: tracer, "unsampled", costly = value())
        .in_scope(|_| ops_trace::get_current_trace_id());
    assert!(!looked.get());
    assert_eq!(id.len(), 32, "ids are for the log, sampled or not");
    assert_eq!(tracer.stats().ended_sampled, 0);
}

#[test]
fn spans_after_the_shutdown_keep_ids_and_are_counted() {
    let (collector, tracer) = traced();
    let handle = tracer.handle();
    drop(span!(tracer: handle, "before"));
    tracer.shutdown_blocking(SOON);
    let id = span!(tracer: handle, "after").in_scope(|_| ops_trace::get_current_trace_id());
    assert_eq!(id.len(), 32);
    let stats = handle.stats();
    assert_balanced(&stats);
    assert_eq!((stats.exported, stats.dropped_shutdown), (1, 1));
    assert_eq!(collector.snapshot(), "before\n");
}

#[test]
fn what_cannot_be_started_says_what_is_wrong_and_what_is_accepted() {
    let error = |config: Config| {
        Tracer::new(config.environment([("", ""); 0]))
            .err()
            .unwrap()
    };
    for endpoint in [
        "localhost:4318",
        "grpc://h:4317",
        "http://u:hunter2@h:4318",
        "http://",
        "http://h:4318?key=hunter2",
        "http://h:99999",
        "http://[127.0.0.1]:4318",
        "http://[fe80::1%25eth0]:4318",
        "http://h:4318/base#part",
        "not a url",
    ] {
        let error = error(Config::new("s").endpoint(endpoint));
        assert!(matches!(error, Error::InvalidEndpoint { .. }), "{endpoint}");
        let text = error.to_string();
        assert!(text.contains("http://"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    for endpoint in ["http://[::1]:4318", "http://[fe80::1%2]:4318"] {
        let config = Config::new("s").endpoint(endpoint);
        let tracer = Tracer::new(config.environment([("", ""); 0]));
        assert!(tracer.is_ok(), "{endpoint}");
    }
    let bad = error(Config::new("s").sampling_ratio(f64::NAN));
    assert!(matches!(bad, Error::InvalidRatio { .. }));
    assert!(matches!(error(Config::new("  ")), Error::EmptyServiceName));
}

#[test]
fn a_configuration_can_be_a_file_and_keys_that_are_not_known_are_refused() {
    let collector = ops_trace::testing::Collector::start().unwrap();
    let file = format!(
        "service_name: shop\nservice_version: 1.2.3\nendpoint: {}\nsampling_ratio: 1\nqueue_spans: 128\n\
         export_timeout_ms: 500\nexport_delay_ms: 200\nprobe_after_ms: 1000\nslow_after_ms: 250\n\
         resource: {{team: a}}\npropagate_to: [api.internal]\n",
        collector.endpoint()
    );
    let config: Config = serde_yaml::from_str(&file).unwrap();
    let tracer = Tracer::new(config.environment([("", ""); 0])).unwrap();
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
    assert_eq!(collector.spans()[0].resource("team"), Some("a"));
    assert_eq!(tracer.stats().queue_capacity, 128);
    let error = serde_yaml::from_str::<Config>("service_name: a\nratio: 1\n").unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("unknown field `ratio`") && error.contains("line 2"),
        "{error}"
    );
    let error =
        serde_yaml::from_str::<Config>("service_name: a\n\nsampling_ratio: 2\n").unwrap_err();
    let expected = "sampling_ratio: sampling ratio 2 is not a number from 0 to 1 at line 3 ";
    assert!(error.to_string().contains(expected), "{error}");
}
