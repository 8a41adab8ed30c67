//! The black box of a real service: the next start finds the data of a run that was killed.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use serde_json::Value;

use crate::client::{PATIENCE, ask, get, request, until};
use crate::process::{Process, Start};

fn start(folder: &Path) -> Start {
    Start::new("serve")
        .env("OTEL_TRACES_EXPORTER", "none")
        .env("OPS_BLACK_BOX", folder.to_str().unwrap())
}

fn state(service: &Process) -> Value {
    serde_json::from_str(&get(service.admin, "/api/state").body).unwrap()
}

/// Returns the state once this finding appears, whatever else a
/// busy machine adds: rules are evaluated shortly after the start.
fn state_with(service: &Process, id: &str) -> Value {
    let read = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let is_found = |state: &Value| {
        let mut findings = state["findings"].as_array().unwrap().iter();
        findings.any(|finding| finding["id"] == id)
    };
    let answer = until(
        || get(service.admin, "/api/state"),
        |answer| is_found(&read(&answer.body)),
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
            let state = state_with(&service, "last_run_crashed");
            let last = &state["last_run"];
            assert_eq!(last["ending"], "unknown", "{last:#}");
            assert!(
                has(&last["records"], "line", "request_completed"),
                "{last:#}"
            );
            assert!(has(&last["records"], "span", "GET /hello"), "{last:#}");
            let line = r#""event":"last_run_ended","ending":"unknown""#;
            assert_eq!(service.log().matches(line).count(), 1, "{}", service.log());
        }
        let (done, answered, api) = (AtomicBool::new(false), AtomicU64::new(0), service.api);
        // send time of the last request that was answered
        let last_sent = Mutex::new(SystemTime::UNIX_EPOCH);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let sent = SystemTime::now();
                        if ask(api, "/hello") {
                            let mut last_sent = last_sent.lock().unwrap();
                            *last_sent = sent.max(*last_sent);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            std::thread::park_timeout(Duration::from_millis(100 + round * 7 % 200));
            let asked = Instant::now();
            while answered.load(Ordering::Relaxed) < 20 {
                assert!(asked.elapsed() < PATIENCE, "it does not answer");
                std::thread::park_timeout(Duration::from_millis(5));
            }
            service.signal(Signal::KILL);
            service.ended();
            done.store(true, Ordering::Relaxed);
        });
        let last = ops_layer::black_box::read_here(folder.path().join("child.box")).unwrap();
        let newest = last.records.iter().map(|record| record.at).max().unwrap();
        // every answered request has its line, up to the kill
        let lost = last_sent.into_inner().unwrap().duration_since(newest);
        assert!(lost.is_err(), "{lost:?}");
    }
}

#[test]
fn a_black_box_that_somebody_removed_is_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path()).serve();
    std::fs::remove_file(folder.path().join("child.box")).unwrap();
    let state = state_with(&service, "black_box_off");
    let mut findings = state["findings"].as_array().unwrap().iter();
    let lost = findings.find(|finding| finding["id"] == "black_box_off");
    let seen = lost.unwrap()["seen"].as_str().unwrap();
    assert!(
        seen.contains("child.box: the file was removed or renamed"),
        "{seen}"
    );
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
        "it shut down cleanly after SIGTERM"
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
fn what_the_line_hides_of_a_panic_and_of_a_check_is_neither_in_the_box_nor_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path()).serve();
    assert_eq!(get(service.api, "/panic_with_login").status, 500);
    let set = request(service.api, "POST", "/health/6", "", b"");
    assert_eq!(set.status, 200);
    let page = until(
        || get(service.admin, "/api/state"),
        |answer| answer.body.contains("no login"),
    );
    let (_, log) = service.stop();
    let file = std::fs::read(folder.path().join("child.box")).unwrap();
    for shown in [page.body, log, String::from_utf8_lossy(&file).into_owned()] {
        assert!(shown.contains("no login"), "{shown}");
        assert!(!shown.contains("correct-horse"), "{shown}");
    }
}

#[test]
fn a_box_that_another_service_left_is_reported_as_that_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.box");
    let service = start(&file).env("OTEL_SERVICE_NAME", "orders").serve();
    service.signal(Signal::KILL);
    service.ended();
    let service = start(&file).env("OTEL_SERVICE_NAME", "billing").serve();
    let state = state_with(&service, "last_run_crashed");
    let how = state["last_run"]["how"].as_str().unwrap();
    let other = "it was a run of service orders, not of billing: it recorded no end";
    assert!(how.starts_with(other), "{how}");
    let seen = state["findings"][0]["seen"].as_str().unwrap();
    assert!(seen.contains(other), "{seen}");
    let logged = service.log();
    assert!(
        logged.contains("it was a run of service orders"),
        "{logged}"
    );
}

#[test]
fn a_foreign_file_means_no_black_box_and_one_finding_and_the_service_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "a diary, and no black box").unwrap();
    let service = start(&file).serve();
    assert_eq!(get(service.api, "/hello").status, 200);
    let state = state_with(&service, "black_box_off");
    let mut findings = state["findings"].as_array().unwrap().iter();
    let off = findings.find(|finding| finding["id"] == "black_box_off");
    let seen = off.unwrap()["seen"].as_str().unwrap();
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
        std::thread::park_timeout(Duration::from_millis(5));
    }
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(143));
    let last = ops_layer::black_box::read_here(folder.path().join("child.box")).unwrap();
    assert_eq!(last.ending.kind.as_str(), "exited", "{:?}", last.ending);
    assert_eq!(last.ending.signal, Some(15));
}

#[test]
fn a_start_that_is_refused_is_no_crash_and_moves_no_box_of_one_away() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let config = folder.path().join("ops.yaml");
    std::fs::write(&config, "secrets: { catalog: nowhere.yaml }\n").unwrap();
    let config = config.to_str().unwrap();
    let mut wrong = vec![
        ("OPS_ADMIN_ADDR", "0.0.0.0:0", "OPS_ADMIN_TOKEN"),
        ("OPS_ADMIN_TOKEN", "short", "at least 16 characters"),
        ("OPS_GRACE_SECONDS", "soon", "OPS_GRACE_SECONDS"),
        ("PORT", &taken, "cannot listen"),
    ];
    if cfg!(feature = "secrets") {
        wrong.push(("OPS_CONFIG", config, "nowhere.yaml"));
    }
    let check = |name: &str| {
        let last = ops_layer::black_box::read_here(folder.path().join("child.box")).unwrap();
        assert_eq!(last.ending.how, "it shut down cleanly", "{name}");
        assert!(!folder.path().join("child.box.1").exists(), "{name}");
        let mut records = last.records.iter();
        let is_reported = records.any(|record| record.text.contains("start_refused"));
        assert!(is_reported, "{name}: {:?}", last.records);
    };
    for (name, value, reason) in wrong {
        let refused = start(folder.path()).env(name, value).refused();
        assert!(refused.contains(reason), "{refused}");
        check(name);
    }
    let job = Start::new("job").env("OPS_ADMIN_ADDR", "0.0.0.0:0");
    let job = job.env("OPS_BLACK_BOX", folder.path().to_str().unwrap());
    assert_eq!(job.output().0.code(), Some(1));
    check("job");
}

#[test]
#[cfg(all(feature = "secrets", feature = "history"))]
fn a_start_after_one_that_failed_has_a_black_box_and_a_history_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let history = tempfile::tempdir().unwrap();
    let begin = || {
        let start = start(folder.path()).env("FAILS_FIRST", "on");
        let start = start.env("OPS_HISTORY_DIR", history.path().to_str().unwrap());
        let service = start.serve();
        assert_eq!(get(service.api, "/hello").status, 200);
        let log = service.log();
        assert!(log.contains("start_refused"), "{log}");
        for off in ["black_box_off", "history_off"] {
            assert!(!log.contains(off), "{log}");
        }
        service
    };
    let service = begin();
    service.signal(Signal::KILL);
    service.ended();
    let read = |name: &str| ops_layer::black_box::read_here(folder.path().join(name)).unwrap();
    let last = read("child.box");
    assert_eq!(last.ending.kind.as_str(), "unknown", "{:?}", last.ending);
    let texts = |last: &ops_layer::black_box::Reading| {
        let records = last.records.iter().map(|record| record.text.as_str());
        records.collect::<Vec<_>>().join("\n")
    };
    assert!(texts(&last).contains("/hello"), "{last:?}");
    let refused = texts(&read("child.box.clean"));
    assert!(!refused.contains("/hello"), "{refused}");
    // the start that succeeds reports a crash
    let service = begin();
    let state = state_with(&service, "last_run_crashed");
    assert_eq!(state["last_run"]["ending"], "unknown", "{state:#}");
    assert!(service.stop().0.success());
    let last = read("child.box");
    assert_eq!(last.ending.how, "it shut down cleanly after SIGTERM");
}

#[test]
#[cfg(all(feature = "secrets", feature = "cache"))]
fn a_start_after_one_that_failed_late_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let refused = start(folder.path()).env("FAILS_LATE", "on").refused();
    assert!(refused.contains("an earlier call failed"), "{refused}");
    let last = ops_layer::black_box::read_here(folder.path().join("child.box")).unwrap();
    assert_eq!(last.ending.how, "it shut down cleanly");
}

#[test]
fn a_second_service_that_is_refused_ends_nothing_of_the_one_that_serves() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path()).env("BESIDE", "on").serve();
    let asked = Instant::now();
    while !service.log().contains("refused_beside") {
        assert!(asked.elapsed() < PATIENCE, "{}", service.log());
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert!(service.log().contains("cannot listen"), "{}", service.log());
    assert_eq!(get(service.api, "/hello").status, 200);
    service.signal(Signal::KILL);
    service.ended();
    let last = ops_layer::black_box::read_here(folder.path().join("child.box")).unwrap();
    assert_eq!(last.ending.kind.as_str(), "unknown", "{:?}", last.ending);
}

#[test]
fn a_crash_before_a_start_that_is_refused_is_reported_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path()).serve();
    service.signal(Signal::KILL);
    service.ended();
    let read = || ops_layer::black_box::read_here(folder.path().join("child.box")).unwrap();
    // before the parts exist, and after
    for (name, value) in [("OPS_GRACE_SECONDS", "soon"), ("OPS_ADMIN_TOKEN", "short")] {
        start(folder.path()).env(name, value).refused();
        assert!(!read().ending.is_clean(), "{name}: {}", read().ending.how);
    }
    let service = start(folder.path()).serve();
    let state = state_with(&service, "last_run_crashed");
    assert_eq!(state["last_run"]["ending"], "unknown", "{state:#}");
}
