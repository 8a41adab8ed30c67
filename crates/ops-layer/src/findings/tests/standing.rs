//! Start and end of findings.

use std::time::{Duration, SystemTime};

use super::{collector, found, healthy, ids, queries, secret};
use crate::findings::snapshot::Snapshot;
use crate::findings::state::{Change, HOLD, State};
use crate::findings::{EVERY, Finding, Severity};

#[test]
fn a_finding_keeps_its_start_and_ends_once_though_its_cause_comes_and_goes() {
    let mut state = State::default();
    let (mut appeared, mut cleared) = (0, Vec::new());
    for tick in 0..60_u64 {
        let seconds = tick * EVERY.as_secs();
        let mut snapshot = healthy(seconds);
        // every other look, from the second minute to the third
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
        // around 90 % of the limit, a minute each
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
        // an hour before the failures began
        snapshot.wall -= Duration::from_secs(3600);
    });
    assert!(
        ids(&findings).contains(&"collector_unreachable"),
        "{findings:?}"
    );
    assert!(ids(&findings).contains(&"spans_dropped"), "{findings:?}");
}

#[test]
fn a_secret_is_missing_for_the_source_that_failed_for_it() {
    // what the source says about the one that is missing, and the cause of that
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
