//! Routes that respond slowly.

use super::{all, cache, found, healthy, ids, metrics};
use crate::findings::snapshot::SlowRoute;
use crate::findings::state::State;
use crate::findings::{Finding, Severity};

fn slow_route(route: &str, p95: f64, usual: f64) -> SlowRoute {
    SlowRoute {
        route: route.to_owned(),
        requests: 30,
        p95,
        usual,
        usual_p95: p95,
        waits_for_queries: None,
    }
}

/// Returns the findings of each evaluation while a route responds like this, with the second.
fn found_while(until: u64, route: impl Fn(u64) -> Option<SlowRoute>) -> Vec<(u64, Vec<Finding>)> {
    let mut state = State::default();
    let looks = (0..=until).step_by(5);
    let look = |seconds| {
        let mut snapshot = healthy(seconds);
        let metrics = snapshot.metrics.as_mut().unwrap();
        metrics.slow_routes = route(seconds).into_iter().collect();
        (seconds, state.evaluate(snapshot, Vec::new()).0)
    };
    looks.map(look).collect()
}

#[test]
fn a_long_poll_does_not_take_the_place_of_a_slow_route() {
    let mut state = State::default();
    for seconds in (0..=2000).step_by(5) {
        let mut snapshot = healthy(seconds);
        let metrics = snapshot.metrics.as_mut().unwrap();
        metrics.slow_routes = vec![slow_route("GET /events", 30.0, 30.0)];
        if (600..1000).contains(&seconds) {
            let slow = slow_route("GET /orders", 2.3, 0.04);
            metrics.slow_routes.push(slow);
        }
        let (findings, _) = state.evaluate(snapshot, Vec::new());
        let slow = findings
            .iter()
            .find(|finding| finding.id == "requests_slow");
        match seconds {
            700..1000 => assert_eq!(slow.unwrap().route.as_deref(), Some("GET /orders")),
            1060.. => assert_eq!(ids(&findings), ["requests_usually_slow"], "{seconds}"),
            _ => {}
        }
    }
}

#[test]
fn requests_that_are_given_up_are_not_said_to_be_answered() {
    for (given_up, usual, severity, says) in [
        (0.0, 0.04, Severity::Warning, "were answered within 10.0 s"),
        (
            3.0,
            0.04,
            Severity::Warning,
            "5 minutes, 3 of them canceled by the client, were answered or canceled within 10.0 s",
        ),
        (
            28.0,
            0.04,
            Severity::Warning,
            "5 minutes, 28 of them canceled by the client, were",
        ),
        // a long poll
        (30.0, 10.0, Severity::Info, ", 30 of them canceled"),
    ] {
        let findings = found(13, |snapshot| {
            let metrics = snapshot.metrics.as_mut().unwrap();
            metrics.slow_routes = vec![slow_route("GET /orders", 10.0, usual)];
            metrics.given_up_by_route = vec![("GET /orders".to_owned(), given_up)];
        });
        let [late] = findings.as_slice() else {
            panic!("{findings:?}");
        };
        assert_eq!(late.severity, severity, "{given_up}");
        assert!(late.seen.contains(says), "{}", late.seen);
    }
}

#[test]
fn a_route_that_became_slow_stays_a_warning_though_it_is_usual_by_now() {
    let mut state = State::default();
    let mut last = Vec::new();
    for seconds in (0..=4000).step_by(5) {
        let mut snapshot = healthy(seconds);
        let metrics = snapshot.metrics.as_mut().unwrap();
        // slow from the tenth minute on; half an hour later, so are half of the hour's requests
        if seconds >= 600 {
            let usual = if seconds < 2400 { 0.04 } else { 2.2 };
            metrics.slow_routes = vec![slow_route("GET /orders", 2.3, usual)];
            // another route, whose requests take more time in total, recovers
            if seconds < 3000 {
                metrics
                    .slow_routes
                    .push(slow_route("GET /search", 9.0, usual));
            }
        }
        last = state.evaluate(snapshot, Vec::new()).0;
    }
    assert_eq!(ids(&last), ["requests_slow"]);
    let (_, changes) = state.evaluate(healthy(4005), Vec::new());
    assert!(changes.is_empty(), "{changes:?}");
    let (last, _) = state.evaluate(healthy(4030), Vec::new());
    assert!(last.is_empty(), "{last:?}");
}

#[test]
fn a_moment_without_enough_requests_does_not_make_an_incident_usual() {
    let looks = found_while(4000, |seconds| {
        let usual = if seconds < 2400 { 0.04 } else { 2.2 };
        // too few requests in one evaluation, and fast ones for a while
        let is_seen = seconds >= 600 && seconds != 3000 && !(3200..3300).contains(&seconds);
        is_seen.then(|| slow_route("GET /orders", 2.3, usual))
    });
    for (seconds, findings) in looks {
        match seconds {
            // the fast requests end it, until the route has been slow for a minute again
            700..3200 | 3400.. => assert_eq!(ids(&findings), ["requests_slow"], "{seconds}"),
            _ => assert_ne!(ids(&findings), ["requests_usually_slow"], "{seconds}"),
        }
    }
}

#[test]
fn a_route_that_is_slow_as_a_rule_and_became_much_slower_is_a_warning() {
    let looks = found_while(4000, |seconds| {
        let (p95, usual_p95) = match seconds {
            ..1200 => (0.8, 0.8),
            // three minutes later, so are a twentieth of the hour's requests
            1200..1380 => (30.0, 0.8),
            _ => (30.0, 30.0),
        };
        Some(SlowRoute {
            usual_p95,
            ..slow_route("POST /report", p95, 0.6)
        })
    });
    for (seconds, findings) in looks {
        match seconds {
            60..1200 => assert_eq!(ids(&findings), ["requests_usually_slow"], "{seconds}"),
            1230.. => assert_eq!(ids(&findings), ["requests_slow"], "{seconds}"),
            _ => {}
        }
    }
}

#[test]
fn a_route_around_the_limit_is_one_finding_also_beside_a_long_poll() {
    let mut state = State::default();
    let mut changes = Vec::new();
    for seconds in (0..=1200).step_by(5) {
        let mut snapshot = healthy(seconds);
        let metrics = snapshot.metrics.as_mut().unwrap();
        let p95 = match seconds {
            ..200 => 0.6,
            _ if seconds % 50 < 25 => 0.45,
            _ => 0.55,
        };
        metrics.slow_routes = vec![
            slow_route("GET /events", 30.0, 30.0),
            slow_route("GET /orders", p95, 0.04),
        ];
        changes.extend(state.evaluate(snapshot, Vec::new()).1);
    }
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[test]
fn queries_are_no_cause_of_answers_that_wait_for_none() {
    for (waits_for_queries, cause) in [
        (None, Some("cache_hit_collapsed")),
        (Some(true), Some("cache_hit_collapsed")),
        (Some(false), None),
    ] {
        let slow = SlowRoute {
            waits_for_queries,
            ..slow_route("GET /orders", 0.8, 0.04)
        };
        let findings = found(
            13,
            all(vec![
                cache(|cache, n| (cache.hits, cache.misses) = (54_000, 6_000 + n * 100)),
                metrics(move |metrics| metrics.slow_routes = vec![slow.clone()]),
            ]),
        );
        let mut late = findings.iter();
        let late = late.find(|finding| finding.id == "requests_slow");
        assert_eq!(late.unwrap().explained_by, cause);
    }
}
