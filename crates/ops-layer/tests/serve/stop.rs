use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::child::LARGE_STACK;
use crate::client::{PATIENCE, connect, get, until, until_in_flight};
#[cfg(all(feature = "cache", feature = "testing"))]
use crate::drain::collector;
use crate::process::Start;
use crate::starvation::block_workers;

#[test]
fn a_signal_ends_with_0_and_a_second_one_at_once_with_128_and_its_number() {
    assert_eq!(Start::new("serve").serve().stop().0.code(), Some(0));
    let interrupted = Start::new("serve").serve();
    interrupted.signal(Signal::INT);
    assert_eq!(interrupted.ended().0.code(), Some(0));
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let service = Start::new("serve").env("OPS_GRACE_SECONDS", "15").serve();
        service.signal(Signal::TERM);
        until(
            || get(service.api, "/readyz"),
            |answer| answer.status == 503,
        );
        assert_eq!(get(service.admin, "/readyz").body, "shutting down\n");
        service.signal(second);
        assert_eq!(service.ended().0.code(), Some(code));
    }
}

#[test]
fn process_1_ends_on_a_signal_that_came_before_it_served() {
    let namespace = ["unshare", "-Urpf", "--kill-child"];
    let mut attempt = Command::new(namespace[0]);
    let attempt = attempt.args(&namespace[1..]).arg("true").status();
    if !attempt.is_ok_and(|status| status.success()) {
        return; // this machine allows no namespace
    }
    let before = [["timeout", "-s", "KILL", "30"].as_slice(), &namespace].concat();
    let service = Start::through(&before, "serve").env("TERMINATED_EARLY", "1");
    let (status, lines) = service.output();
    assert_eq!(status.code(), Some(0), "{lines}");
}

#[test]
fn a_second_signal_ends_a_service_whose_every_worker_is_blocked() {
    let service = Start::new("serve").env("BLOCK_MS", "300000").serve();
    let _blocking = block_workers(&service);
    service.signal(Signal::TERM);
    // pending signals of the same kind are merged into one
    service.signal(Signal::INT);
    let code = service.ended().0.code();
    assert!(code == Some(143) || code == Some(130), "{code:?}");
}

#[test]
fn a_blocked_process_is_ended_after_its_budget() {
    let blocked = || {
        let service = Start::new("serve")
            .env("BLOCK_MS", "300000")
            .env("OPS_SHUTDOWN_SECONDS", "1");
        service.serve()
    };
    let workers = blocked();
    let _blocking = block_workers(&workers);
    let in_background = blocked();
    assert_eq!(get(in_background.api, "/in_background").body, "begun\n");
    for service in [workers, in_background] {
        let (status, log) = service.stop();
        assert_eq!(status.code(), Some(143), "{log}");
        assert!(log.contains("shutdown_budget_exceeded"), "{log}");
    }
}

#[test]
fn a_blocked_process_without_a_free_thread_is_ended_after_its_budget() {
    let service = Start::new("serve")
        .env("BLOCK_MS", "300000")
        .env("OPS_SHUTDOWN_SECONDS", "1")
        .env("RUST_MIN_STACK", LARGE_STACK)
        .serve();
    assert_eq!(get(service.api, "/threads").body, "taken\n");
    let _blocking = block_workers(&service);
    let (status, log) = service.stop();
    assert_eq!(status.code(), Some(143), "{log}");
}

#[test]
fn a_grace_period_leaves_time_for_the_last_requests_and_is_shortened_in_the_open() {
    let service = Start::new("serve")
        .env("OPS_SHUTDOWN_SECONDS", "10")
        .env("OPS_GRACE_SECONDS", "10")
        .serve();
    let state = get(service.admin, "/api/state").body;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let settings = state["configuration"].as_array().unwrap();
    let grace = settings
        .iter()
        .find(|setting| setting["name"] == "grace period");
    assert_eq!(grace.unwrap()["value"], "6.4s");
    // idle, with no request to wait for
    let mut idle = connect(service.api);
    idle.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let (status, log) = service.stop();
    assert!(status.success(), "{status} {log}");
    let shortened = log
        .lines()
        .find(|line| line.contains("grace_period_shortened"));
    let shortened: serde_json::Value = serde_json::from_str(shortened.unwrap()).unwrap();
    assert_eq!(shortened["wanted_seconds"], 10.0);
    assert_eq!(shortened["grace_seconds"], 6.4);
    assert!(!log.contains("requests_cut_off"), "{log}");
}

#[test]
fn a_service_that_was_never_ready_stops_without_a_grace_period() {
    let service = Start::new("serve")
        .env("HEALTH", "2")
        .env("OPS_SHUTDOWN_SECONDS", "600")
        .env("OPS_GRACE_SECONDS", "300")
        .serve();
    assert_eq!(get(service.api, "/readyz").status, 503);
    // far within the grace period, or `stop` times out
    let (status, log) = service.stop();
    assert!(status.success(), "{status} {log}");
}

#[test]
fn a_collector_that_is_gone_or_never_answers_does_not_exceed_the_budget() {
    // accepts connections and never responds
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for collector in ["http://127.0.0.1:9", &silent] {
        let history = tempfile::tempdir().unwrap();
        let service = Start::new("serve")
            .env("OPS_HISTORY_DIR", history.path().to_str().unwrap())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
            // waiting for the exporter would exceed the budget
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
            .env("OTEL_BSP_EXPORT_TIMEOUT", "600000")
            .env("OPS_SHUTDOWN_SECONDS", "5")
            .serve();
        assert_eq!(get(service.api, "/hello").status, 200);
        let asked = Instant::now();
        let (status, log) = service.stop();
        let elapsed = asked.elapsed();
        println!("{collector}: ended after {elapsed:?}");
        // and not the exit code of a process that is ended beyond its budget
        assert!(status.success(), "{status} {log}");
        assert!(elapsed < PATIENCE, "{elapsed:?}");
        assert!(log.contains("spans_flushed"), "{log}");
        if cfg!(feature = "history") {
            let lines = std::fs::read_dir(history.path().join("logs")).unwrap();
            assert_ne!(lines.count(), 0, "the last lines were lost");
        }
    }
}

#[test]
#[cfg(all(feature = "cache", feature = "testing"))]
fn a_cache_that_does_not_end_leaves_time_for_the_spans() {
    let service = Start::new("serve")
        .env("CACHE_HANGS", "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector())
        .env("OTEL_TRACES_SAMPLER", "always_on")
        // spans stay queued until the stop
        .env("OTEL_BSP_SCHEDULE_DELAY", "600000")
        .env("OPS_SHUTDOWN_SECONDS", "8")
        .serve();
    assert_eq!(get(service.api, "/hello").status, 200);
    let (status, log) = service.stop();
    assert!(status.success(), "{status} {log}");
    assert!(log.contains("cache_writes_cut_off"), "{log}");
    let flushed = log.lines().find(|line| line.contains("spans_flushed"));
    let flushed: serde_json::Value = serde_json::from_str(flushed.unwrap()).unwrap();
    assert_eq!(
        (&flushed["exported"], &flushed["dropped"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn without_an_exporter_no_span_is_dropped() {
    let service = Start::new("serve")
        .env("OTEL_TRACES_EXPORTER", "none")
        .env("OTEL_TRACES_SAMPLER", "always_on")
        .serve();
    for _ in 0..20 {
        assert_eq!(get(service.api, "/hello").status, 200);
    }
    let (status, log) = service.stop();
    assert!(status.success(), "{status} {log}");
    let mut lines = log.lines();
    let flushed = lines.find(|line| line.contains("spans_flushed")).unwrap();
    let flushed: serde_json::Value = serde_json::from_str(flushed).unwrap();
    assert_eq!(
        (&flushed["exported"], &flushed["dropped"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn a_request_that_does_not_end_is_cut_off_within_the_budget_and_reported() {
    let service = Start::new("serve").env("OPS_SHUTDOWN_SECONDS", "5").serve();
    let mut endless = connect(service.api);
    let head = b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf";
    endless.write_all(head).unwrap();
    until_in_flight(service.admin, 1);
    // its body may take 30 s: a longer wait would give the exit code of a process ended beyond its budget
    let (status, log) = service.stop();
    assert!(status.success(), "{status}");
    assert!(
        log.contains("requests_cut_off") && log.contains("spans_flushed"),
        "{log}"
    );
    // its client is still connected
    let mut lines = log.lines();
    let line = lines.find(|line| line.contains(r#""path":"/length""#));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(line["error_type"], "cut_off", "{line}");
    assert_eq!(line["status"], 503, "{line}");
}

#[test]
fn a_job_ends_by_its_result() {
    for (job, code, logged) in [
        ("works", 0, "job_finished"),
        ("fails", 1, "the queue is gone"),
        ("fails without words", 1, "job_failed"),
        ("panics", 1, "job_failed"),
        ("panics at once", 1, "job_failed"),
        ("hangs", 1, "job_cut_off"),
    ] {
        let worker = Start::new("job")
            .env("JOB", job)
            .env("OPS_SHUTDOWN_SECONDS", "5")
            .work();
        let (status, log) = worker.stop();
        assert_eq!(status.code(), Some(code), "{job}: {log}");
        assert!(log.contains(logged), "{job}: {log}");
        assert!(log.contains("spans_flushed"), "{job}: {log}");
    }
}

#[test]
fn a_job_without_a_page_says_that_it_started() {
    let worker = Start::new("job").env("OPS_ADMIN_ADDR", "off").work();
    let (_, log) = worker.stop();
    let started = log.lines().find(|line| line.contains("job_started"));
    let started: serde_json::Value = serde_json::from_str(started.unwrap()).unwrap();
    assert_eq!(started["service"], "child");
    assert!(started.get("admin").is_none(), "{started}");
}

#[test]
fn work_in_the_background_ends_before_the_last_lines_are_written_or_is_cut_off() {
    let service = |how, budget| {
        Start::new("serve")
            .env("BACKGROUND", how)
            .env("OPS_SHUTDOWN_SECONDS", budget)
            .serve()
    };
    for (how, budget, logged) in [
        ("works", "50", "background_ended"),
        ("hangs", "5", "background_cut_off"),
    ] {
        let (status, log) = service(how, budget).stop();
        assert!(status.success(), "{how}: {status}: {log}");
        let at = |event| log.find(event).unwrap_or_else(|| panic!("{event}: {log}"));
        assert!(at(logged) < at("spans_flushed"), "{how}: {log}");
    }
}

#[test]
fn a_service_or_job_whose_future_is_dropped_holds_nothing() {
    let (status, _) = Start::new("dropped").work().ended();
    assert!(status.success(), "{status}");
}
