//! Failed requests and their reasons: panics, limits of the service.

use std::time::Duration;

use super::{collector, found, healthy, ids};
use crate::findings::snapshot::Snapshot;
use crate::findings::state::State;
use crate::findings::{Finding, Severity};

#[test]
fn what_a_limit_of_the_service_answered_is_reported_with_its_number() {
    for (refused, late, message) in [
        (0, 0, "in the last minute"),
        (
            40,
            0,
            "; 40 were rejected because `max_in_flight` was reached",
        ),
        (0, 60, "; 60 exceeded `timeout`"),
        (5, 50, "`max_in_flight` was reached; 50 exceeded `timeout`"),
    ] {
        let mut state = State::default();
        let mut look = |seconds: u64, failed: f64, refused: u64, late: u64| {
            let mut snapshot = healthy(seconds);
            let metrics = snapshot.metrics.as_mut().unwrap();
            (metrics.requests, metrics.server_errors) = (failed, failed);
            (metrics.refused, metrics.late) = (refused, late);
            state.evaluate(snapshot, Vec::new()).0
        };
        look(600, 0.0, 0, 0);
        let findings = look(605, 60.0, refused, late);
        assert_eq!(ids(&findings), ["requests_failing"]);
        assert!(findings[0].seen.ends_with(message), "{findings:?}");
        let is_of_limit = findings[0].action.contains("raise the limit");
        assert_eq!(is_of_limit, refused + late > 0, "{findings:?}");
    }
}

#[test]
fn what_a_limit_answered_on_other_routes_is_not_reported_of_one() {
    let finds = |refused: u64| {
        let mut state = State::default();
        let mut look = |seconds: u64, of_route: f64, refused: u64| {
            let mut snapshot = healthy(seconds);
            let metrics = snapshot.metrics.as_mut().unwrap();
            // a small share of all requests
            (metrics.requests, metrics.server_errors) = (2000.0 * of_route, 3.0 * of_route);
            metrics.errors_by_route = vec![("GET /orders".to_owned(), of_route)];
            metrics.requests_by_route = vec![("GET /orders".to_owned(), of_route)];
            metrics.refused = refused;
            state.evaluate(snapshot, Vec::new()).0
        };
        look(600, 0.0, 0);
        let mut findings = look(605, 12.0, refused);
        assert_eq!(ids(&findings), ["requests_failing"]);
        let finding = findings.remove(0);
        assert!(finding.seen.contains("12 of 12 requests of GET /orders"));
        let is_reported = finding.seen.contains("were rejected");
        (is_reported, finding.action.contains("raise the limit"))
    };
    assert_eq!(finds(24), (false, false));
    // every failed request may be one of them
    assert_eq!(finds(36), (true, true));
}

#[test]
fn requests_that_wait_are_not_what_panics() {
    for (panics, right) in [(600.0, "panics"), (1.0, "workers_blocked")] {
        let findings = found(1, |snapshot| {
            snapshot.heartbeat.longest = Duration::from_millis(2_100);
            let metrics = snapshot.metrics.as_mut().unwrap();
            (metrics.server_errors, metrics.panics) = (600.0, panics);
        });
        assert_eq!(findings[0].id, right, "{findings:#?}");
        let mut findings = findings.iter();
        let failing = findings.find(|finding| finding.id == "requests_failing");
        assert_eq!(failing.unwrap().explained_by, Some(right), "{failing:?}");
    }
}

#[test]
fn panics_explain_requests_that_ended_as_panics_end_them_and_no_others() {
    // number of failures, and of those with status 500
    for (failed, with_500, cause) in [
        (60.0, 60.0, Some("panics")),
        (60.0, 40.0, Some("panics")),
        // a readiness check panics, and a dependency is unavailable
        (60.0, 0.0, None),
        (60.0, 20.0, None),
    ] {
        let mut state = State::default();
        let mut look = |seconds: u64, failed: f64, with_500: f64| {
            let mut snapshot = healthy(seconds);
            let metrics = snapshot.metrics.as_mut().unwrap();
            (metrics.server_errors, metrics.panics) = (failed, failed);
            metrics.internal_errors = Some(with_500);
            metrics.requests = failed;
            state.evaluate(snapshot, Vec::new()).0
        };
        look(600, 0.0, 0.0);
        let findings = look(605, failed, with_500);
        let failing = findings
            .iter()
            .find(|finding| finding.id == "requests_failing");
        let failing = failing.unwrap_or_else(|| panic!("{:?}", ids(&findings)));
        assert_eq!(failing.explained_by, cause, "{with_500} of {failed}");
    }
}

#[test]
fn what_affects_the_route_of_a_minority_of_failures_is_not_the_cause_of_all() {
    let on = |id, route: &str| Finding::new(id, Severity::Critical).route(route);
    for (of_worst, of_others, cause) in [
        (240.0, 80.0, "provider_failing"),
        (150.0, 125.0, "engine_unreachable"),
    ] {
        let mut state = State::default();
        state.evaluate(healthy(0), Vec::new());
        let mut snapshot = healthy(5);
        let metrics = snapshot.metrics.as_mut().unwrap();
        metrics.server_errors = 400.0;
        let routes = [
            ("GET /a", of_worst),
            ("GET /b", of_others),
            ("GET /c", of_others),
        ];
        metrics.errors_by_route = routes
            .map(|(route, count)| (route.to_owned(), count))
            .into();
        let both = [
            ("provider_failing", "GET /a"),
            ("engine_unreachable", "GET /b"),
        ];
        let both = both.map(|(id, route)| on(id, route)).into();
        let (findings, _) = state.evaluate(snapshot, both);
        let mut findings = findings.iter();
        let failing = findings.find(|finding| finding.id == "requests_failing");
        let failing = failing.unwrap();
        assert_eq!(failing.route.as_deref(), Some("GET /a"));
        assert_eq!(failing.explained_by, Some(cause), "{of_worst} of 400");
    }
}

#[test]
fn spans_that_are_dropped_ask_for_what_their_collector_lacks() {
    let expired = "invalid peer certificate: Expired";
    for (kind, status, failure, right) in [
        ("refused", None, "", "Restore the collector"),
        ("timeout", None, "", "Restore the collector"),
        ("http_5xx", Some(503), "", "Restore the collector"),
        ("http_4xx", Some(429), "", "Restore the collector"),
        ("http_4xx", Some(401), "", "Fix the cause of the rejection"),
        ("http_4xx", Some(404), "", "Fix the cause of the rejection"),
        ("other", None, expired, "Fix the cause of the rejection"),
    ] {
        let answer = collector(kind, status);
        let set = move |snapshot: &mut Snapshot| {
            answer(snapshot);
            failure.clone_into(&mut snapshot.export.as_mut().unwrap().failure);
        };
        let findings = found(1, set);
        let dropped = findings.iter().find(|one| one.id == "spans_dropped");
        let action = &dropped.unwrap().action;
        assert!(action.starts_with(right), "{status:?}: {action}");
    }
}
