use ops_log::{Level, MAX_RECENT_BYTES, capture_logs, capture_logs_of, get_logger, info};

#[test]
fn parallel_tests_do_not_see_each_others_lines() {
    let threads: Vec<_> = (0..8_u64)
        .map(|number| {
            std::thread::spawn(move || {
                let log = get_logger("existing");
                let lines = capture_logs(|| {
                    for _ in 0..100 {
                        info!(log, "captured_parallel", of = number);
                    }
                });
                assert_eq!(lines.len(), 100);
                assert!(lines.iter().all(|line| line["of"] == number as i64));
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn finer_levels_are_captured_typed_and_nothing_reaches_the_outputs() {
    let lines = capture_logs(|| {
        ops_log::trace!(
            "finest",
            n = 1_u8,
            f = 1.5,
            text = "a",
            none = Option::<u8>::None,
            yes = true
        );
    });
    let line = &lines[0];
    assert_eq!((line.level, line.event.as_str()), (Level::Trace, "finest"));
    assert_eq!(line["n"], 1);
    assert_eq!(line["f"], ops_log::Value::Float(1.5));
    assert_eq!(line["text"], "a");
    assert_eq!(line["none"], ops_log::Value::Null);
    assert_eq!(line["yes"], true);
    assert_eq!(line.get("missing"), None);
    assert!(
        !ops_log::recent(200)
            .iter()
            .any(|line| line.contains("\"finest\""))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_future_spawns_is_captured_where_the_context_goes_along() {
    let (answer, lines) = capture_logs_of(async {
        ops_log::spawn(async { info!("spawned") }).await.unwrap();
        ops_log::spawn_blocking(|| info!("blocking")).await.unwrap();
        42
    })
    .await;
    let events: Vec<_> = lines.iter().map(|line| line.event.as_str()).collect();
    assert_eq!((answer, events), (42, vec!["spawned", "blocking"]));
}

#[test]
fn a_recent_line_is_whole_and_without_its_newline_whatever_was_logged_before() {
    let (pipeline, written) = crate::json();
    let log = pipeline.root();
    let text = "x".repeat(12_000);
    info!(log, "long", one = text, two = text);
    info!(log, "padded", with = "");
    let least = written.last().trim_end().len();
    for length in [least, MAX_RECENT_BYTES - 1, MAX_RECENT_BYTES] {
        info!(log, "padded", with = "x".repeat(length - least));
        let line = written.last();
        assert_eq!(line.trim_end().len(), length);
        assert_eq!(pipeline.recent(1), [line.trim_end()]);
    }
    info!(
        log,
        "padded",
        with = "x".repeat(MAX_RECENT_BYTES + 1 - least)
    );
    let cut = pipeline.recent(1).concat();
    assert!(cut.len() < MAX_RECENT_BYTES && cut.ends_with("x…"), "{cut}");
}
