//! Start and end of findings.

use std::time::{Duration, SystemTime};

use super::{
    Set, all, answers, cache, collector, disk, failing, failing_at, found, healthy, ids, metrics,
    queries, secret, secrets, shared,
};
use crate::findings::snapshot::{BlackBox, History, Snapshot};
use crate::findings::state::{Change, HOLD, State};
use crate::findings::{EVERY, Finding, Severity};

#[test]
fn a_finding_keeps_its_start_and_ends_once_though_its_cause_comes_and_goes() {
    let mut state = State::default();
    let (mut appeared, mut cleared) = (0, Vec::new());
    for tick in 0..60_u64 {
        let seconds = tick * EVERY.as_secs();
        let mut snapshot = healthy(seconds);
        // every other evaluation, from the second minute to the third
        if (12..36).contains(&tick) && tick % 2 == 0 {
            snapshot.cache.as_mut().unwrap().is_paused = true;
        }
        let (findings, changes) = state.evaluate(snapshot, Vec::new());
        for change in changes {
            match change {
                Change::Appeared(_) => appeared += 1,
                Change::Cleared(finding, stood) => cleared.push((seconds, finding.id, stood)),
            }
        }
        if let Some(finding) = findings.first() {
            let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_060);
            assert_eq!(finding.since, start);
        }
    }
    assert_eq!(appeared, 1);
    // last seen at 170 s
    let end = 170 + HOLD.as_secs();
    assert_eq!(
        cleared,
        [(end, "cache_writes_paused", Duration::from_secs(110))]
    );
}

#[test]
fn another_answer_of_one_rule_replaces_the_one_before_at_once() {
    let mut state = State::default();
    for (seconds, kind, right) in [
        (600, "timeout", "collector_hung"),
        (605, "refused", "collector_unreachable"),
    ] {
        let mut snapshot = healthy(seconds);
        collector(kind, None)(&mut snapshot);
        let (findings, _) = state.evaluate(snapshot, Vec::new());
        assert_eq!(ids(&findings)[0], right);
        assert_eq!(
            findings
                .iter()
                .filter(|finding| finding.id.starts_with("collector"))
                .count(),
            1
        );
    }
}

#[test]
fn thresholds_do_not_flap() {
    let mut state = State::default();
    let mut changes = 0;
    for tick in 0..100_u64 {
        let mut snapshot = healthy(tick * 60);
        // alternates around 90 % of the limit each minute
        let bytes = if tick % 2 == 0 { 905e6 } else { 895e6 };
        snapshot.metrics.as_mut().unwrap().memory = Some(bytes);
        changes += state.evaluate(snapshot, Vec::new()).1.len();
    }
    assert_eq!(changes, 1);
}

#[test]
fn findings_of_the_application_stand_among_ours() {
    let mut state = State::default();
    let of_application = || {
        let finding = Finding::new("queue_growing", Severity::Warning).seen("40 jobs wait");
        vec![finding.explained_by("duckdb_slow")]
    };
    let (findings, _) = state.evaluate(healthy(0), of_application());
    assert_eq!(ids(&findings), ["queue_growing"]);
    assert_eq!(findings[0].explained_by, None);
    let mut snapshot = healthy(5);
    queries(|queries| (queries.run, queries.slow) = (100, 50))(&mut snapshot);
    let (findings, _) = state.evaluate(snapshot, of_application());
    assert_eq!(ids(&findings), ["duckdb_slow", "queue_growing"]);
    assert_eq!(findings[1].explained_by, Some("duckdb_slow"));
}

#[test]
fn a_second_without_parts_is_healthy() {
    let mut state = State::default();
    for seconds in [0, 5, 10] {
        let empty = Snapshot {
            export: None,
            secrets: None,
            log: None,
            cache: None,
            queries: None,
            metrics: None,
            disks: Vec::new(),
            ..healthy(seconds)
        };
        assert!(state.evaluate(empty, Vec::new()).0.is_empty());
    }
}

#[test]
fn failing_requests_name_the_route_that_failed_most_in_the_last_minute() {
    let failing = |routes: &[(&str, f64)]| {
        let routes: Vec<_> = routes
            .iter()
            .map(|(route, count)| ((*route).to_owned(), *count))
            .collect();
        let findings = found(1, |snapshot| {
            let metrics = snapshot.metrics.as_mut().unwrap();
            metrics.server_errors = 600.0;
            metrics.errors_by_route.clone_from(&routes);
        });
        assert_eq!(ids(&findings), ["requests_failing"]);
        findings[0].route.clone()
    };
    assert_eq!(
        failing(&[("GET /a", 1.0), ("POST /b", 599.0)]).as_deref(),
        Some("POST /b")
    );
    assert_eq!(failing(&[]), None);
}

#[test]
fn a_collector_that_is_down_is_found_though_the_clock_was_set_back() {
    let findings = found(1, |snapshot| {
        collector("refused", None)(snapshot);
        // an hour before the start of the failures
        snapshot.wall -= Duration::from_secs(3600);
    });
    assert!(
        ids(&findings).contains(&"collector_unreachable"),
        "{findings:?}"
    );
    assert!(ids(&findings).contains(&"spans_dropped"), "{findings:?}");
}

#[test]
fn spans_that_were_dropped_until_the_collector_came_back_ask_for_nothing_more() {
    let mut state = State::default();
    state.evaluate(healthy(595), Vec::new());
    let mut dropped = |seconds: u64, is_down: bool, failed: u64| {
        let mut snapshot = healthy(seconds);
        let export = snapshot.export.as_mut().unwrap();
        export.export_failed = failed;
        export.failing_for = is_down.then_some(Duration::from_secs(30));
        let (findings, _) = state.evaluate(snapshot, Vec::new());
        let dropped = findings
            .into_iter()
            .find(|finding| finding.id == "spans_dropped");
        let dropped = dropped.unwrap();
        (dropped.severity, dropped.action.starts_with("No action"))
    };
    let (lasts, over) = ((Severity::Warning, false), (Severity::Info, true));
    // every other export works, whether there is one every 5 s or every 10 s
    for (seconds, is_down, failed, right) in [
        (600, true, 10, lasts),
        (605, false, 20, lasts),
        (610, true, 20, lasts),
        (615, false, 30, lasts),
        (620, false, 30, lasts),
        (625, false, 30, lasts),
        (630, false, 40, lasts),
        (645, false, 40, lasts),
        (660, false, 40, over),
        (665, false, 40, over),
        (670, false, 50, lasts),
    ] {
        assert_eq!(dropped(seconds, is_down, failed), right, "{seconds} s");
    }
}

#[test]
fn a_history_that_stopped_names_what_to_do_about_its_reason() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    for (why, right) in [
        ("h: another process writes to this history", "Stop the"),
        ("h: cannot create the file (os error 28)", "Free disk"),
        (&format!("h: cannot write: {full}"), "Free disk"),
        ("h/logs: Permission denied (os error 13)", "Fix the"),
    ] {
        let set = history_says(why);
        let findings = found(1, |snapshot| set(snapshot));
        assert!(findings[0].action.starts_with(right), "{findings:?}");
    }
}

#[test]
fn a_log_file_that_takes_no_line_names_what_to_do_about_its_reason() {
    for (why, right) in [
        ("No space left on device (os error 28)", "Free disk"),
        ("Disk quota exceeded (os error 122)", "Free disk"),
        ("Permission denied (os error 13)", "Make the directory"),
        ("Read-only file system (os error 30)", "Fix the"),
        ("Too many open files (os error 24)", "Fix the"),
    ] {
        let set = super::log(why, 0);
        let findings = found(1, |snapshot| set(snapshot));
        assert!(findings[0].action.starts_with(right), "{findings:?}");
    }
}

#[test]
fn a_black_box_that_is_off_names_what_to_do_about_its_reason() {
    for (why, right) in [
        ("a.box: the file was removed or renamed", "Rename"),
        (
            "a.box: another process writes to this black box",
            "Stop the",
        ),
        (
            "a.box: cannot allocate the file: full (os error 28)",
            "Free",
        ),
        (
            "a.box: NFS cannot guarantee space for a mapped file",
            "Use another",
        ),
        (
            "d/a.box.lock: cannot open the lock file: No such (os error 2)",
            "Create",
        ),
        (
            "f/a.box.lock: cannot open the lock file: Not a directory (os error 20)",
            "Move the file that is in place of its directory",
        ),
        (
            "a.box.lock: cannot open the lock file: denied (os error 13)",
            "Fix",
        ),
        ("a.box: not a black box", "Move the file at"),
    ] {
        let findings = found(1, |snapshot| {
            let off = Some(why.to_owned());
            snapshot.black_box = Some(BlackBox { ended: None, off });
        });
        assert!(findings[0].action.starts_with(right), "{findings:?}");
    }
}

/// Name, change, and its findings, each with its cause.
type Explained = (&'static str, Set, Vec<(&'static str, Option<&'static str>)>);

fn history_says(why: impl Into<String>) -> Set {
    let why = why.into();
    Box::new(move |snapshot| {
        snapshot.history = Some(History {
            stopped: Some(why.clone()),
            ..History::default()
        });
    })
}

fn explained() -> Vec<Explained> {
    let descriptors = |open: f64| metrics(move |metrics| metrics.open_fds = Some(open));
    let clock = |seconds: u64| -> Set {
        Box::new(move |snapshot| snapshot.wall += Duration::from_secs(seconds))
    };
    // `vault`, the source of the secret `api_key`, does not respond
    let without_bucket_key = |missing: &'static str| {
        all(vec![
            shared(move |shared| shared.missing_key = Some(missing.to_owned())),
            failing_at("vault", "transient", true),
        ])
    };
    let full = "logs: cannot write without using up the disk reserve: no storage space";
    vec![
        (
            "descriptors are few, and the collector is away",
            all(vec![
                descriptors(900.0),
                answers("refused", "Connection refused (os error 111)"),
            ]),
            vec![("collector_unreachable", None), ("descriptors_low", None)],
        ),
        (
            "no descriptor is left for the collector and the history",
            all(vec![
                descriptors(1024.0),
                answers("other", "Too many open files (os error 24)"),
                history_says("logs: Too many open files (os error 24)"),
            ]),
            vec![
                ("descriptors_low", None),
                ("collector_refusing", Some("descriptors_low")),
                ("history_stopped", Some("descriptors_low")),
            ],
        ),
        (
            "the history keeps its reserve on a full disk",
            all(vec![disk(100 << 30, 0, 9), history_says(full)]),
            vec![("disk_full", None), ("history_stopped", Some("disk_full"))],
        ),
        (
            "the history keeps its reserve before the disk is full",
            all(vec![disk(10 << 30, 200 << 20, 9), history_says(full)]),
            vec![
                ("disk_nearly_full", None),
                ("history_stopped", Some("disk_nearly_full")),
            ],
        ),
        (
            "one panic, and many requests fail",
            metrics(|metrics| (metrics.server_errors, metrics.panics) = (600.0, 1.0)),
            vec![("requests_failing", None), ("panics", None)],
        ),
        (
            "a route fails, and there are fewer panics",
            super::process_rows::one_route(6.0, 5.0),
            vec![("requests_failing", None), ("panics", None)],
        ),
        (
            "the clock went a little, and a token expired",
            all(vec![clock(3), failing("unauthenticated", true)]),
            vec![("aws_credentials", None), ("clock_stepped", None)],
        ),
        (
            "the key of the bucket is at a source that fails",
            without_bucket_key("api_key"),
            vec![
                ("secret_source_failing", None),
                ("shared_store_unreachable", Some("secret_source_failing")),
            ],
        ),
        (
            "another secret than the key of the bucket fails",
            without_bucket_key("bucket_key"),
            vec![
                ("secret_source_failing", None),
                ("shared_store_unreachable", None),
            ],
        ),
        (
            "no descriptor is left for AWS",
            all(vec![
                descriptors(1024.0),
                failing("transient", true),
                secrets(|secret| {
                    secret.detail = "Too many open files (os error 24)".to_owned();
                }),
            ]),
            vec![
                ("descriptors_low", None),
                ("aws_unreachable", Some("descriptors_low")),
            ],
        ),
        (
            "queries fail with a panic each",
            all(vec![
                queries(|queries| queries.failed = 100),
                metrics(|metrics| (metrics.server_errors, metrics.panics) = (600.0, 600.0)),
            ]),
            vec![
                ("duckdb_failing", None),
                ("requests_failing", Some("duckdb_failing")),
                ("panics", None),
            ],
        ),
        (
            "a warning with grave consequences stands before what is critical by itself",
            all(vec![
                metrics(|metrics| {
                    metrics.throttled_periods = Some(400.0);
                    metrics.server_errors = 600.0;
                }),
                Box::new(|snapshot| snapshot.heartbeat.waiting = Some(Duration::from_secs(4))),
                secrets(|secret| secret.is_default = true),
            ]),
            vec![
                ("cpu_throttled", None),
                ("workers_blocked", Some("cpu_throttled")),
                ("requests_failing", Some("workers_blocked")),
                ("default_in_production", None),
            ],
        ),
    ]
}

#[test]
fn a_cause_explains_what_the_evidence_allows() {
    for (name, set, right) in explained() {
        let findings = found(1, set);
        let causes = findings.iter().map(|of| (of.id, of.explained_by));
        assert_eq!(causes.collect::<Vec<_>>(), right, "{name}: {findings:#?}");
    }
}

#[test]
fn what_an_application_found_on_the_route_of_failing_requests_comes_first() {
    let on = |id, route| Finding::new(id, Severity::Critical).route(route);
    let mut state = State::default();
    state.evaluate(healthy(0), Vec::new());
    let mut snapshot = healthy(5);
    metrics(|metrics| {
        metrics.server_errors = 400.0;
        metrics.errors_by_route = vec![("GET /a".to_owned(), 400.0)];
    })(&mut snapshot);
    let both = vec![
        on("engine_unreachable", "GET /b"),
        on("provider_failing", "GET /a"),
    ];
    let (findings, _) = state.evaluate(snapshot, both);
    let mut findings = findings.iter();
    let failing = findings.find(|finding| finding.id == "requests_failing");
    assert_eq!(failing.unwrap().explained_by, Some("provider_failing"));
}

#[test]
fn a_small_correction_does_not_hide_that_the_clock_was_set() {
    let mut state = State::default();
    for (seconds, step) in [(600, 0.0), (605, 3600.0), (610, 3602.5), (615, 3602.5)] {
        let mut snapshot = healthy(seconds);
        snapshot.wall += Duration::from_secs_f64(step);
        failing("unauthenticated", true)(&mut snapshot);
        let (findings, _) = state.evaluate(snapshot, Vec::new());
        if step > 0.0 {
            assert_eq!(ids(&findings), ["clock_stepped", "aws_credentials"]);
            assert!(findings[0].seen.contains("3600.0 s"), "{findings:?}");
        }
    }
}

#[test]
fn failing_requests_are_explained_by_what_an_application_found_on_their_route() {
    let of_application = |id, route: &str| Finding::new(id, Severity::Critical).route(route);
    for (id, route, cause) in [
        ("provider_failing", "GET /a", Some("provider_failing")),
        ("provider_failing", "GET /b", None),
        ("engine_unreachable", "GET /b", Some("engine_unreachable")),
    ] {
        let mut state = State::default();
        state.evaluate(healthy(0), Vec::new());
        let mut snapshot = healthy(5);
        metrics(|metrics| {
            metrics.server_errors = 400.0;
            metrics.errors_by_route = vec![("GET /a".to_owned(), 400.0)];
        })(&mut snapshot);
        let (findings, _) = state.evaluate(snapshot, vec![of_application(id, route)]);
        let mut findings = findings.iter();
        let failing = findings.find(|finding| finding.id == "requests_failing");
        assert_eq!(failing.unwrap().explained_by, cause, "{id} {route}");
    }
}

#[test]
fn a_start_keeps_its_distance_from_now_if_the_clock_is_set_forward() {
    let mut state = State::default();
    let year = Duration::from_secs(365 * 24 * 3600);
    for (seconds, step, ago) in [(600, Duration::ZERO, 0), (605, year, 5), (610, year, 10)] {
        let mut snapshot = healthy(seconds);
        cache(|cache, _| cache.is_paused = true)(&mut snapshot);
        snapshot.wall += step;
        let wall = snapshot.wall;
        let (findings, _) = state.evaluate(snapshot, Vec::new());
        let paused = findings
            .iter()
            .find(|finding| finding.id == "cache_writes_paused");
        let since = wall.duration_since(paused.unwrap().since).unwrap();
        assert_eq!(since, Duration::from_secs(ago));
    }
}

#[test]
fn a_secret_is_missing_for_the_source_that_failed_for_it() {
    // last error at the source of the missing secret, and the resulting cause
    for (error, at, cause) in [
        (None, "", None),
        (Some("access_denied"), "aws_ssm", Some("aws_denied")),
        (Some("throttled"), "aws_ssm", None),
        (Some("transient"), "vault", Some("secret_source_failing")),
    ] {
        let findings = found(1, |snapshot| {
            let known = &mut snapshot.secrets.as_mut().unwrap().known;
            (known[0].is_present, known[0].error, known[0].failed_at) = (false, error, at);
            for name in ["optional", "other"] {
                known.push(secret(name, |secret| {
                    (secret.is_required, secret.is_present) = (false, false);
                    (secret.error, secret.failed_at) = (Some("access_denied"), "aws_ssm");
                }));
            }
        });
        let missing = findings
            .iter()
            .find(|finding| finding.id == "required_secret_missing");
        assert_eq!(missing.unwrap().explained_by, cause, "{findings:?}");
    }
}

/// Simulates few requests for ten minutes, then more that fail; returns the findings at the end.
fn few(requests: f64, failed: f64) -> Vec<Finding> {
    let mut state = State::default();
    let mut evaluated = |seconds: u64, requests: f64, failed: f64| {
        let mut snapshot = healthy(seconds);
        let metrics = snapshot.metrics.as_mut().unwrap();
        (metrics.requests, metrics.server_errors) = (requests, failed);
        state.evaluate(snapshot, Vec::new()).0
    };
    for step in 0..=120 {
        evaluated(step * 5, 1000.0, 20.0);
    }
    evaluated(605, 1000.0 + requests, 20.0 + failed)
}

#[test]
fn of_few_requests_the_share_that_fails_counts() {
    let findings = few(6.0, 5.0);
    assert_eq!(ids(&findings), ["requests_failing"]);
    let seen = "5 of 6 requests failed (5xx, aborted response or gRPC error) in the last 5 minutes";
    assert_eq!(findings[0].seen, seen);
    // too small a share of failures, or too few of them
    for (requests, failed) in [(20.0, 5.0), (4.0, 4.0), (0.0, 0.0)] {
        let findings = few(requests, failed);
        assert!(findings.is_empty(), "{failed} of {requests}: {findings:?}");
    }
}

#[test]
fn few_failures_end_the_finding_once_they_are_over() {
    let mut state = State::default();
    let mut last = Vec::new();
    for seconds in (0..=800).step_by(5) {
        let mut snapshot = healthy(seconds);
        let metrics = snapshot.metrics.as_mut().unwrap();
        (metrics.requests, metrics.server_errors) = match seconds {
            0..600 => (1000.0, 20.0),
            _ => (1006.0, 25.0),
        };
        let before = std::mem::replace(&mut last, state.evaluate(snapshot, Vec::new()).0);
        let (was, is) = (ids(&before), ids(&last));
        match seconds {
            600 => assert_eq!((was, is), (vec![], vec!["requests_failing"])),
            700.. => assert!(is.is_empty(), "{seconds}: {is:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_route_that_is_asked_seldom_stops_failing_though_others_go_on() {
    let mut state = State::default();
    for seconds in (0..=1000).step_by(5) {
        let mut snapshot = healthy(seconds);
        let metrics = snapshot.metrics.as_mut().unwrap();
        // twice a minute for five minutes, beside one failure in two thousand other requests
        let failed = f64::from(u32::try_from(seconds.clamp(600, 900) - 600).unwrap() / 30);
        let others = f64::from(u32::try_from(seconds).unwrap() / 20);
        let (search, orders) = ("GET /search".to_owned(), "GET /orders".to_owned());
        metrics.server_errors = failed + others;
        metrics.requests_by_route = vec![
            (search.clone(), metrics.requests - failed),
            (orders.clone(), failed),
        ];
        metrics.errors_by_route = vec![(search, others), (orders, failed)];
        let (findings, _) = state.evaluate(snapshot, Vec::new());
        let routes = findings.iter().map(|finding| finding.route.as_deref());
        let routes: Vec<_> = routes.flatten().collect();
        match seconds {
            ..750 | 985.. => assert!(findings.is_empty(), "{seconds}: {findings:?}"),
            750..950 => assert_eq!(routes, ["GET /orders"], "{seconds}"),
            _ => {}
        }
    }
}

#[test]
fn a_route_that_fails_as_a_whole_is_found_beside_one_that_fails_more_often() {
    let findings = found(1, |snapshot| {
        let metrics = snapshot.metrics.as_mut().unwrap();
        let (search, orders) = ("GET /search".to_owned(), "GET /orders".to_owned());
        metrics.requests += 10_012.0;
        metrics.server_errors += 32.0;
        metrics.requests_by_route = vec![(search.clone(), 10_000.0), (orders.clone(), 12.0)];
        metrics.errors_by_route = vec![(search, 20.0), (orders, 12.0)];
    });
    assert_eq!(ids(&findings), ["requests_failing"]);
    assert_eq!(findings[0].route.as_deref(), Some("GET /orders"));
    assert!(
        findings[0]
            .seen
            .starts_with("12 of 12 requests of GET /orders"),
        "{findings:?}"
    );
}
