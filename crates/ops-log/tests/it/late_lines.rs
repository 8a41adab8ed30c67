//! Lines of a request below the level, which are written if it fails or is slow.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use ops_http::ObserveLayer;
use ops_log::http::AccessLog;
use ops_log::{
    Config, Filter, LateLines, Level, LogContextExt, Logger, MAX_LATE_BYTES,
    MAX_LATE_REQUEST_BYTES, Output, Pipeline, debug, get_logger, info, trace,
};
use serde_json::Value;
use tower::{Layer, ServiceExt};

use crate::{Written, pipeline, sample_time};

fn late(config: Config) -> Config {
    config.late_lines(LateLines::new(Level::Debug).slow(None))
}

/// Serves one request with an id, and the status returned by the handler.
async fn request<F>(pipeline: &Pipeline, id: &str, handler: impl FnOnce(Logger) -> F)
where
    F: Future<Output = u16>,
{
    let log = pipeline.logger("shop");
    let access = AccessLog::new().pipeline(pipeline);
    let answer = async {
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::from_u16(handler(log).await).unwrap();
        Ok::<_, std::convert::Infallible>(response)
    };
    let slot = parking_lot::Mutex::new(Some(answer));
    let service = tower::service_fn(|_: Request<()>| slot.lock().take().unwrap());
    let service = ObserveLayer::new((access,)).layer(service);
    let request = Request::get("/orders").header("x-request-id", id);
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body());
    body.await.unwrap();
}

fn parsed(lines: &[String]) -> Vec<Value> {
    let lines = lines.iter();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn events(written: &Written) -> Vec<String> {
    let lines = parsed(&written.lines());
    let event = |line: &Value| {
        let mark = if line["late"] == true { "late " } else { "" };
        format!("{mark}{}", line["event"].as_str().unwrap())
    };
    lines.iter().map(event).collect()
}

#[tokio::test]
async fn a_request_that_fails_writes_what_was_below_the_level_before_its_access_line() {
    let (pipeline, written) = pipeline(late, true);
    request(&pipeline, "req-1", |log| async move {
        debug!(log, "asked", rows = 3);
        info!(log, "answered");
        tokio::task::yield_now().await;
        debug!(log, "failed", step = "save");
        trace!(log, "too fine");
        500
    })
    .await;
    let lines = written.lines();
    let rests: Vec<&str> = lines.iter().map(|line| crate::rest(line)).collect();
    assert_eq!(
        events(&written),
        ["answered", "late asked", "late failed", "request_completed"]
    );
    assert_eq!(rests[1], r#","request_id":"req-1","rows":3,"late":true}"#);
    assert!(lines[1].starts_with(
        r#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"debug","logger":"shop","event":"asked""#
    ));
    let stats = pipeline.stats();
    assert_eq!(
        (stats.late_written, stats.late_dropped, stats.late_cut),
        (2, 0, 0)
    );
    assert_eq!(stats.events(Level::Debug), 2);
    assert_eq!(stats.written, 4);
    assert!(pipeline.recent(3)[0].contains(r#""event":"asked""#));
}

#[tokio::test]
async fn a_late_line_has_the_time_at_which_it_was_logged() {
    let seconds = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock = Arc::clone(&seconds);
    let clock = move || {
        let passed = clock.load(std::sync::atomic::Ordering::Relaxed);
        sample_time() + Duration::from_secs(passed)
    };
    let (pipeline, written) = pipeline(|config| late(config).clock(clock), true);
    request(&pipeline, "req-1", |log| async move {
        debug!(log, "first");
        seconds.store(5, std::sync::atomic::Ordering::Relaxed);
        500
    })
    .await;
    let lines = parsed(&written.lines());
    assert_eq!(lines[0]["timestamp"], "2025-01-15T10:30:00.123Z");
    assert_eq!(lines[1]["timestamp"], "2025-01-15T10:30:05.123Z");
}

#[tokio::test]
async fn a_request_that_is_fine_drops_them_and_they_are_counted() {
    let (pipeline, written) = pipeline(late, true);
    for status in [200, 404, 499] {
        request(&pipeline, "req-1", |log| async move {
            debug!(log, "asked");
            status
        })
        .await;
    }
    assert_eq!(events(&written), ["request_completed"; 3]);
    assert_eq!(pipeline.stats().late_dropped, 3);
}

#[tokio::test]
async fn a_slow_request_writes_them_too() {
    let slow = |from: Duration| {
        move |config: Config| config.late_lines(LateLines::new(Level::Debug).slow(from))
    };
    for (from, expected) in [
        (Duration::ZERO, vec!["late asked", "request_completed"]),
        (Duration::from_secs(3600), vec!["request_completed"]),
    ] {
        let (pipeline, written) = pipeline(slow(from), true);
        request(&pipeline, "req-1", |log| async move {
            debug!(log, "asked");
            200
        })
        .await;
        assert_eq!(events(&written), expected);
    }
}

#[tokio::test]
async fn nothing_is_kept_unless_it_is_switched_on_nor_outside_of_requests() {
    let (off, written) = pipeline(|config| config, true);
    request(&off, "req-1", |log| async move {
        assert!(!log.is_enabled(Level::Debug));
        debug!(log, "asked");
        500
    })
    .await;
    assert_eq!(events(&written), ["request_completed"]);
    assert_eq!(off.stats().late_dropped, 0);
    let (on, written) = pipeline(late, true);
    let log = on.logger("shop");
    assert!(!log.is_enabled(Level::Debug));
    debug!(log, "outside");
    request(&on, "req-1", |log| async move {
        assert!(log.is_enabled(Level::Debug) && !log.is_enabled(Level::Trace));
        500
    })
    .await;
    assert_eq!(events(&written), ["request_completed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawned_tasks_blocking_tasks_and_threads_belong_to_the_request() {
    let (pipeline, written) = pipeline(late, true);
    request(&pipeline, "req-1", |log| async move {
        let copies = [log.clone(), log.clone(), log.clone(), log.clone()];
        let [task, blocking, thread, joined] = copies;
        let task = ops_log::spawn(async move {
            tokio::task::yield_now().await;
            debug!(task, "task");
        });
        task.await.unwrap();
        let blocking = ops_log::spawn_blocking(move || debug!(blocking, "blocking"));
        blocking.await.unwrap();
        let thread = ops_log::thread::spawn(move || debug!(thread, "thread"));
        thread.join().unwrap();
        let branch = async { debug!(joined, "joined") };
        tokio::join!(branch.with_log_context());
        ops_log::bind_context!(user = 7);
        debug!(log, "bound");
        500
    })
    .await;
    assert_eq!(
        events(&written),
        [
            "late task",
            "late blocking",
            "late thread",
            "late joined",
            "late bound",
            "request_completed"
        ]
    );
    let lines = parsed(&written.lines());
    assert!(lines.iter().all(|line| line["request_id"] == "req-1"));
    assert_eq!(
        (&lines[4]["user"], &lines[5]["user"]),
        (&7.into(), &7.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_at_the_same_time_write_their_own_lines_only() {
    let (pipeline, written) = pipeline(late, true);
    let requests = (0..200_u16).map(|number| {
        let pipeline = pipeline.clone();
        tokio::spawn(async move {
            request(&pipeline, &format!("req-{number}"), |log| async move {
                for step in 0..5 {
                    debug!(log, "step", number = number, step = step);
                    tokio::task::yield_now().await;
                }
                if number % 2 == 0 { 500 } else { 200 }
            })
            .await;
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    let lines = parsed(&written.lines());
    for number in 0..200_u64 {
        let of_request = lines
            .iter()
            .filter(|line| line["request_id"] == format!("req-{number}").as_str());
        let steps: Vec<_> = of_request.filter(|line| line["late"] == true).collect();
        assert!(steps.iter().all(|line| line["number"] == number));
        let order: Vec<_> = steps.iter().map(|line| line["step"].as_u64()).collect();
        let expected: Vec<_> = (0..5)
            .map(Some)
            .take(if number % 2 == 0 { 5 } else { 0 })
            .collect();
        assert_eq!(order, expected, "{number}");
    }
    let stats = pipeline.stats();
    assert_eq!((stats.late_written, stats.late_dropped), (500, 500));
}

#[tokio::test]
async fn a_handler_that_panics_writes_them() {
    crate::bridges::init();
    let (pipeline, written) = pipeline(late, true);
    let serve = request(&pipeline, "req-1", |log| async move {
        debug!(log, "asked");
        if log.is_enabled(Level::Debug) {
            panic!("a handler that panics");
        }
        200
    });
    assert!(panics(serve).await);
    assert_eq!(events(&written), ["late asked", "request_completed"]);
    assert_eq!(parsed(&written.lines())[1]["error_type"], "panic");
}

/// Runs a future; returns `true` if it panicked.
async fn panics(future: impl Future<Output = ()>) -> bool {
    let mut future = Some(Box::pin(future));
    std::future::poll_fn(move |cx| {
        let poll = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            future.as_mut().map(|future| future.as_mut().poll(cx))
        }));
        match poll {
            Ok(Some(std::task::Poll::Pending)) => std::task::Poll::Pending,
            Ok(_) => std::task::Poll::Ready(false),
            Err(_) => {
                future = None;
                std::task::Poll::Ready(true)
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_line_is_redacted_before_it_is_kept_and_again_before_it_is_written() {
    let (first, second) = ("hunter2-\"first\"-8f3a", "hunter2-second-91bc");
    ops_log::redact(first);
    let (pipeline, written) = pipeline(late, true);
    request(&pipeline, "req-1", |log| async move {
        debug!(log, "asked", value = first, nested = ?Some(first), password = "plain-text");
        debug!(log, "asked again", value = second);
        // from now on, redaction of late lines would no longer hide it
        ops_log::unredact(first);
        ops_log::redact(second);
        500
    })
    .await;
    ops_log::unredact(second);
    let text = written.lines().concat();
    assert_eq!(events(&written).len(), 3);
    for hidden in ["hunter2", "8f3a", "91bc", "plain-text"] {
        assert!(!text.contains(hidden), "{text}");
    }
    assert!(!pipeline.recent(10).concat().contains("hunter2"));
}

#[tokio::test]
async fn one_request_keeps_its_newest_lines_and_says_how_many_were_cut() {
    let (pipeline, written) = pipeline(late, true);
    let text = "x".repeat(1000);
    request(&pipeline, "req-1", |log| async move {
        for number in 0..500 {
            debug!(log, "step", number = number, text = text.as_str());
        }
        500
    })
    .await;
    let lines = parsed(&written.lines());
    let cut = lines[0]["lines"].as_u64().unwrap();
    assert_eq!(lines[0]["event"], "late_lines_cut");
    assert_eq!(lines[0]["request_id"], "req-1");
    let numbers: Vec<_> = lines[1..lines.len() - 1]
        .iter()
        .map(|line| line["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (cut..500).collect::<Vec<_>>());
    let bytes: usize = written.lines().iter().map(String::len).sum();
    assert!(
        numbers.len() > 40 && bytes <= MAX_LATE_REQUEST_BYTES,
        "{bytes}"
    );
    let stats = pipeline.stats();
    assert_eq!(stats.late_written + stats.late_cut, 500);
}

#[tokio::test]
async fn all_requests_together_keep_no_more_than_their_limit() {
    let (pipeline, written) = pipeline(late, true);
    let text = "x".repeat(15_000);
    let all_kept = Arc::new(tokio::sync::Barrier::new(300));
    let requests = (0..300).map(|number| {
        let (pipeline, text, all_kept) = (pipeline.clone(), text.clone(), Arc::clone(&all_kept));
        let handler = |log: Logger| async move {
            for _ in 0..4 {
                debug!(log, "step", text = text.as_str());
            }
            all_kept.wait().await;
            500
        };
        async move { request(&pipeline, &format!("req-{number}"), handler).await }
    });
    let tasks = tokio::task::LocalSet::new();
    for request in requests {
        tasks.spawn_local(request);
    }
    tasks.await;
    let lines = written.lines();
    let late = lines
        .iter()
        .filter(|line| line.contains(r#""event":"step""#));
    let bytes: usize = late.map(String::len).sum();
    assert!(
        bytes <= MAX_LATE_BYTES && bytes > MAX_LATE_BYTES / 10 * 9,
        "{bytes}"
    );
    let stats = pipeline.stats();
    assert_eq!(stats.late_written + stats.late_cut, 1200);
    assert!(stats.late_cut > 0);
    // the space is free again
    request(&pipeline, "req-after", |log| async move {
        debug!(log, "asked");
        500
    })
    .await;
    assert_eq!(pipeline.stats().late_written, stats.late_written + 1);
}

#[tokio::test]
async fn work_that_outlives_its_request_keeps_nothing_more() {
    let (pipeline, written) = pipeline(late, true);
    let (over, mut wait) = tokio::sync::watch::channel(false);
    let mut spawned = None;
    request(&pipeline, "req-1", |log| {
        let log_of_task = log.clone();
        spawned = Some(ops_log::spawn(async move {
            debug!(log_of_task, "within");
            wait.wait_for(|over| *over).await.unwrap();
            assert!(!log_of_task.is_enabled(Level::Debug));
            debug!(log_of_task, "behind");
            info!(log_of_task, "still written");
        }));
        async move {
            tokio::task::yield_now().await;
            500
        }
    })
    .await;
    over.send(true).unwrap();
    spawned.unwrap().await.unwrap();
    assert_eq!(
        events(&written),
        ["late within", "request_completed", "still written"]
    );
}

#[tokio::test]
async fn people_get_them_too_and_outputs_with_a_filter_do_not() {
    let (console, severe) = (Written::default(), Written::default());
    let outputs = |config: Config| {
        late(config)
            .output(Output::writer(console.clone()).color(false))
            .output(
                Output::writer(severe.clone())
                    .json(true)
                    .level(Level::Error),
            )
    };
    let (pipeline, written) = pipeline(outputs, true);
    request(&pipeline, "req-1", |log| async move {
        debug!(log, "asked", rows = 3);
        500
    })
    .await;
    assert_eq!(events(&written), ["late asked", "request_completed"]);
    assert_eq!(
        console.lines()[0],
        "2025-01-15 10:30:00 [debug    ] asked  rows=3 late=true\n"
    );
    assert_eq!(events(&severe), ["request_completed"]);
}

#[tokio::test]
async fn lines_that_sampling_leaves_out_are_kept_for_a_request_that_fails() {
    let (pipeline, written) = pipeline(|config| late(config).sample_traces(0.0), true);
    for status in [200, 500] {
        request(&pipeline, "req-1", |log| async move {
            ops_log::bind_context!(trace_id = "0af7651916cd43dd8448eb211c80319c");
            info!(log, "asked");
            status
        })
        .await;
    }
    assert_eq!(events(&written), ["late asked", "request_completed"]);
    let stats = pipeline.stats();
    assert_eq!((stats.late_written, stats.late_dropped), (1, 1));
    // the access line of the successful request
    assert_eq!(stats.unsampled, 1);
}

#[tokio::test]
async fn a_slow_request_that_is_not_sampled_has_its_access_line_with_its_late_ones() {
    let slow = LateLines::new(Level::Debug).slow(Duration::ZERO);
    let config = |config: Config| config.late_lines(slow).sample_traces(0.0);
    let (pipeline, written) = pipeline(config, true);
    request(&pipeline, "req-1", |log| async move {
        ops_log::bind_context!(trace_id = "0af7651916cd43dd8448eb211c80319c");
        info!(log, "asked");
        200
    })
    .await;
    assert_eq!(events(&written), ["late asked", "request_completed"]);
    assert_eq!(pipeline.stats().unsampled, 0);
}

#[tokio::test]
async fn events_of_tracing_and_records_of_log_are_kept_by_the_process() {
    crate::bridges::init();
    let _on = process_wide().await;
    let before = ops_log::recent_after(0).last;
    request(&Pipeline::global(), "req-bridged", |_| async {
        tracing::debug!(target: "late_test", "by tracing");
        log::debug!(target: "late_test", "by log");
        tracing::debug!(target: "another", "not wanted");
        500
    })
    .await;
    let lines = parsed(&ops_log::recent_after(before).lines);
    let mine = lines
        .iter()
        .filter(|line| line["request_id"] == "req-bridged");
    let events: Vec<_> = mine.map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["by tracing", "by log", "request_completed"]);
}

#[tokio::test]
async fn a_job_keeps_lines_as_a_request_does() {
    crate::bridges::init();
    let _on = process_wide().await;
    let before = ops_log::recent_after(0).last;
    let job = |name: &'static str, result: Result<(), ()>| async move {
        ops_log::bind_context!(job = name);
        debug!(get_logger("late_test"), "step");
        assert!(name != "panics", "a job that panics");
        result
    };
    for (name, result) in [("fine", Ok(())), ("failed", Err(()))] {
        let ended = ops_log::with_late_lines(job(name, result), Result::is_err).await;
        assert_eq!(ended, result);
    }
    let panicking = ops_log::with_late_lines(job("panics", Ok(())), Result::is_err);
    assert!(panics(async { panicking.await.unwrap() }).await);
    let lines = parsed(&ops_log::recent_after(before).lines);
    let mine = lines.iter().filter(|line| line["event"] == "step");
    let jobs: Vec<_> = mine.map(|line| line["job"].as_str().unwrap()).collect();
    assert_eq!(jobs, ["failed", "panics"]);
}

/// Keeps late lines in the global pipeline until dropped; one test at a time.
async fn process_wide() -> impl Drop {
    struct On(#[expect(dead_code, reason = "held")] tokio::sync::MutexGuard<'static, ()>);
    impl Drop for On {
        fn drop(&mut self) {
            ops_log::revert_late_lines();
        }
    }
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let on = On(ONE.lock().await);
    let rule = LateLines::new("warning,late_test=debug".parse::<Filter>().unwrap()).slow(None);
    ops_log::set_late_lines(rule, None, "ada", "tests").unwrap();
    on
}

#[tokio::test]
async fn they_are_switched_on_for_a_while_and_both_ends_are_lines() {
    let (pipeline, written) = pipeline(|config| config, true);
    let rule = LateLines::new(Level::Debug).slow(None);
    let ttl = Duration::from_millis(20);
    pipeline
        .set_late_lines(rule, ttl, "ada", "failing orders")
        .unwrap();
    // the second line may have arrived already
    assert_eq!(
        crate::rest(&written.lines()[0]),
        r#","from":"off","to":"debug > never","ttl_seconds":0.02,"who":"ada","why":"failing orders"}"#
    );
    let reverted = || events(&written).contains(&"late_lines_reverted".to_owned());
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !reverted() && std::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        crate::rest(&written.last()),
        r#","from":"debug > never","to":"off","who":"ada","why":"failing orders"}"#
    );
    request(&pipeline, "req-1", |log| async move {
        debug!(log, "asked");
        500
    })
    .await;
    assert_eq!(
        events(&written),
        [
            "late_lines_changed",
            "late_lines_reverted",
            "request_completed"
        ]
    );
    assert!(!pipeline.revert_late_lines(), "it is over");
    // a change that is reverted by hand, while late lines are configured
    let late = LateLines::new(Level::Debug).slow(None);
    let config = Config::new().stdout(false).late_lines(late);
    pipeline.configure(config).unwrap();
    pipeline
        .set_late_lines(LateLines::off(), None, "ada", "too much")
        .unwrap();
    request(&pipeline, "req-1", |log| async move {
        debug!(log, "asked");
        500
    })
    .await;
    assert_eq!(pipeline.stats().late_written, 0);
    assert!(pipeline.revert_late_lines());
}

#[test]
fn the_text_of_late_lines_is_read_as_it_is_written() {
    for (text, read) in [
        ("debug", LateLines::new(Level::Debug)),
        (" off ", LateLines::off()),
        ("debug > never", LateLines::new(Level::Debug).slow(None)),
        (
            "info,hyper=off > 2s",
            LateLines::new("info,hyper=off".parse::<Filter>().unwrap())
                .slow(Duration::from_secs(2)),
        ),
    ] {
        assert_eq!(text.parse::<LateLines>().unwrap(), read);
        assert_eq!(read.to_string().parse::<LateLines>().unwrap(), read);
    }
    for wrong in [
        "",
        "> 1s",
        "debg",
        "debug > 5",
        "debug > -1s",
        "debug > 99999999999999999999s",
    ] {
        let error = wrong.parse::<LateLines>().unwrap_err().to_string();
        assert!(
            error.contains("expected a filter") && error.contains(wrong),
            "{error}"
        );
    }
    let yaml: Config = serde_yaml::from_str("late_lines: debug > 500ms").unwrap();
    assert!(format!("{yaml:?}").contains("500ms"));
    assert!(serde_yaml::from_str::<Config>("late_lines: debg").is_err());
}
