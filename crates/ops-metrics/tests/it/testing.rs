use ops_metrics::testing::{Registry, Snapshot};

ops_metrics::labels! { enum Queue { Mail = "mail", Report = "report" } }

ops_metrics::define! {
    /// Metric of these tests.
    counter tested_total { queue: Queue }
    /// Metric of these tests.
    counter tested_texts_total { name: &'static str }
}

#[test]
fn registries_know_nothing_of_each_other_or_of_the_process() {
    let (one, two) = (Registry::new(), Registry::new());
    one.run(|| {
        tested_total(Queue::Mail).inc();
        two.run(|| tested_total(Queue::Mail).add(5));
        tested_total(Queue::Mail).inc();
        metrics::counter!("foreign_of_a_registry_total").increment(1);
    });
    let mail = r#"tested_total{queue="mail"}"#;
    assert_eq!((one.value(mail), two.value(mail)), (Some(2.0), Some(5.0)));
    assert_eq!(tested_total(Queue::Mail).get(), 0);
    let foreign = "foreign_of_a_registry_total";
    assert_eq!((one.value(foreign), two.value(foreign)), (Some(1.0), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_tasks_on_shared_threads_count_in_a_registry_each() {
    let tasks: Vec<_> = (1..=100)
        .map(|times| {
            let registry = Registry::new();
            let work = async move {
                for _ in 0..times {
                    tested_total(Queue::Report).inc();
                    tokio::task::yield_now().await;
                }
            };
            (times, registry, tokio::spawn(registry.scope(work)))
        })
        .collect();
    for (times, registry, task) in tasks {
        task.await.unwrap();
        let report = r#"tested_total{queue="report"}"#;
        assert_eq!(registry.value(report), Some(f64::from(times)));
    }
}

#[tokio::test]
async fn what_a_future_counts_while_it_is_dropped_is_counted_in_its_registry() {
    struct CountsWhenDropped;
    impl Drop for CountsWhenDropped {
        fn drop(&mut self) {
            tested_texts_total("dropped").inc();
        }
    }
    let registry = Registry::new();
    let held = CountsWhenDropped;
    drop(registry.scope(async move {
        let _held = held;
        std::future::pending::<()>().await;
    }));
    let dropped = r#"tested_texts_total{name="dropped"}"#;
    assert_eq!(registry.value(dropped), Some(1.0));
}

#[test]
fn a_delta_names_what_changed_and_only_that() {
    let registry = Registry::new();
    registry.run(|| tested_total(Queue::Mail).add(3));
    let before = registry.snapshot();
    registry.run(|| tested_total(Queue::Report).inc());
    let after = registry.snapshot();
    let changed = after.since(&before);
    assert_eq!(changed.get(r#"tested_total{queue="report"}"#), Some(&1.0));
    assert!(!changed.contains_key(r#"tested_total{queue="mail"}"#));
    after.assert_since(&before, &[(r#"tested_total{queue="report"}"#, 1.0)]);
    let total: f64 = after.series("tested_total").map(|(_, value)| value).sum();
    assert_eq!(total, 4.0);
}

#[test]
fn a_wrong_expectation_is_reported_with_both_numbers() {
    let registry = Registry::new();
    let complaint = std::panic::catch_unwind(|| {
        registry.assert_changes(&[(r#"tested_total{queue="mail"}"#, 2.0)], || {
            tested_total(Queue::Mail).inc();
            tested_total(Queue::Report).inc();
        });
    });
    let complaint = *complaint.unwrap_err().downcast::<String>().unwrap();
    assert!(
        complaint.contains(r#"tested_total{queue="mail"} changed by 1 instead of 2"#),
        "{complaint}"
    );
    assert!(
        complaint.contains(r#"tested_total{queue="report"} changed by 1, which was not expected"#),
        "{complaint}"
    );
}

#[test]
fn a_snapshot_is_read_from_any_exposition() {
    let snapshot = Snapshot::of("# TYPE a counter\na{b=\"c d\"} 2\nnonsense\n");
    assert_eq!(snapshot.value(r#"a{b="c d"}"#), Some(2.0));
    assert_eq!(snapshot.value("nonsense"), None);
}
