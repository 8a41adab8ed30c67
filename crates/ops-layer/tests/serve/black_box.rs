//! The black box of a service that really serves: what the next start has of a run that was killed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::Value;

use crate::client::{ask, get, until};
use crate::process::{Process, Start};

fn start(folder: &Path) -> Start {
    Start::new("serve")
        .env("OTEL_TRACES_EXPORTER", "none")
        .env("OPS_BLACK_BOX", folder.to_str().unwrap())
}

fn state(service: &Process) -> Value {
    serde_json::from_str(&get(service.admin, "/api/state").body).unwrap()
}

/// The state once there are findings: rules are asked a moment after the start.
fn state_with_findings(service: &Process) -> Value {
    let read = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let answer = until(
        || get(service.admin, "/api/state"),
        |answer| read(&answer.body)["findings"][0].is_object(),
    );
    read(&answer.body)
}

fn has(records: &Value, kind: &str, name: &str) -> bool {
    let records = records.as_array().unwrap();
    records
        .iter()
        .any(|record| record["kind"] == kind && record["name"] == name)
}

#[test]
fn killed_under_load_the_next_start_shows_the_last_seconds_and_names_no_wrong_end() {
    let is_full = std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1");
    let rounds = if is_full { 100 } else { 3 };
    let folder = tempfile::tempdir().unwrap();
    for round in 0..rounds {
        let service = start(folder.path()).serve();
        if round > 0 {
            let state = state_with_findings(&service);
            let last = &state["last_run"];
            assert_eq!(last["ending"], "unknown", "{last:#}");
            assert!(
                has(&last["records"], "line", "request_completed"),
                "{last:#}"
            );
            assert!(has(&last["records"], "span", "GET /hello"), "{last:#}");
            let finding = &state["findings"][0];
            assert_eq!(finding["id"], "last_run_crashed", "{state:#}");
            let line = r#""event":"last_run_ended","ending":"unknown""#;
            assert_eq!(service.log().matches(line).count(), 1, "{}", service.log());
        }
        let (done, api) = (AtomicBool::new(false), service.api);
        let killed = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        ask(api, "/hello");
                    }
                });
            }
            std::thread::park_timeout(Duration::from_millis(100 + round * 7 % 200));
            let killed = SystemTime::now();
            service.signal(Signal::KILL);
            service.ended();
            done.store(true, Ordering::Relaxed);
            killed
        });
        let last = ops_layer::black_box::read_here(folder.path().join("child.box")).unwrap();
        let newest = last.records.last().unwrap().at;
        let age = killed.duration_since(newest).unwrap_or_default();
        assert!(age < Duration::from_secs(2), "{age:?}");
    }
}

#[test]
fn a_stop_is_clean_and_a_panic_before_it_is_in_the_box_with_its_backtrace() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path()).serve();
    assert_eq!(get(service.api, "/panic").status, 500);
    let (status, log) = service.stop();
    assert!(status.success(), "{log}");
    let service = start(folder.path()).serve();
    let state = state(&service);
    assert_eq!(state["last_run"]["ending"], "clean", "{state:#}");
    assert_eq!(
        state["last_run"]["how"],
        "it was shut down in order, asked by SIGTERM"
    );
    assert!(
        state["findings"].as_array().unwrap().is_empty(),
        "{state:#}"
    );
    let kept = folder.path().join("child.box.clean");
    let panic = ops_layer::black_box::read(kept).unwrap().panic.unwrap();
    assert_eq!(panic.message, "on purpose");
    assert!(panic.backtrace.unwrap().contains("panics"));
}

#[test]
fn a_foreign_file_means_no_black_box_and_one_finding_and_the_service_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "a diary, and no black box").unwrap();
    let service = start(&file).serve();
    assert_eq!(get(service.api, "/hello").status, 200);
    let state = state_with_findings(&service);
    assert_eq!(state["findings"].as_array().unwrap().len(), 1, "{state:#}");
    assert_eq!(state["findings"][0]["id"], "black_box_off");
    let seen = state["findings"][0]["seen"].as_str().unwrap();
    assert!(seen.contains("does not begin with OPSBBOX"), "{seen}");
    assert!(service.stop().0.success());
    assert_eq!(std::fs::read(&file).unwrap(), b"a diary, and no black box");
}

#[test]
fn a_second_signal_is_an_exit_before_the_shutdown_was_complete() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path()).env("OPS_GRACE_SECONDS", "15").serve();
    // a service that was never ready has no grace period
    assert_eq!(get(service.api, "/readyz").status, 200);
    service.signal(Signal::TERM);
    while get(service.api, "/readyz").status == 200 {
        std::thread::yield_now();
    }
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(143));
    let last = ops_layer::black_box::read_here(folder.path().join("child.box")).unwrap();
    assert_eq!(last.ending.kind.as_str(), "exited", "{:?}", last.ending);
    assert_eq!(last.ending.signal, Some(15));
}
