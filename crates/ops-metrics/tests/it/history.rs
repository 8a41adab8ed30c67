use std::cell::Cell;
use std::time::Duration;

use http::Method;
use ops_metrics::catalog::{
    cache_hits_total, cache_misses_total, http_request_latency, http_requests_total,
    http_response_failures_total,
};
use ops_metrics::testing::Registry;
use ops_metrics::{Distribution, Window, latency_over, routes_over, sparklines, sparklines_over};
use proptest::prelude::*;

fn points(registry: Registry, window: Window, name: &str) -> Vec<Option<f64>> {
    let lines = registry.run(|| sparklines_over(window));
    lines
        .into_iter()
        .find(|line| line.name == name)
        .unwrap()
        .points
}

fn request(status: u16, seconds: f64) {
    http_requests_total("/sparkline", Method::GET, status).inc();
    http_request_latency("/sparkline", Method::GET).observe(seconds);
}

/// Runs `work`, then one tick of the second `at`.
fn second(registry: Registry, at: u64, work: impl FnOnce()) {
    registry.run(work);
    registry.tick(Duration::from_secs(at));
}

#[test]
fn a_second_has_its_rate_ratios_and_quantiles_and_an_idle_one_has_none() {
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    second(registry, 1, || {
        (0..9).for_each(|_| request(200, 0.1));
        request(503, 1.0);
        cache_hits_total("query").add(3);
        cache_misses_total("query").add(1);
        // revalidations by clients belong to another cache
        cache_misses_total("http").add(100);
    });
    second(registry, 2, || {});
    let line = |name| points(registry, Window::FiveMinutes, name);
    assert_eq!(registry.run(ops_metrics::history_seconds), 2);
    assert_eq!(line("requests_per_second"), [Some(10.0), Some(0.0)]);
    assert_eq!(line("error_ratio"), [Some(0.1), None]);
    assert_eq!(line("cache_hit_ratio"), [Some(0.75), None]);
    let (p50, p95) = (line("p50_seconds"), line("p95_seconds"));
    assert!(
        (p50[0].unwrap() - 0.1).abs() < 0.005 && p50[1].is_none(),
        "{p50:?}"
    );
    assert!(
        (p95[0].unwrap() - 1.0).abs() < 0.05 && p95[1].is_none(),
        "{p95:?}"
    );
}

#[test]
fn totals_near_the_largest_number_stop_no_sparkline() {
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    second(registry, 1, || {
        for status in [200, 404, 500] {
            http_requests_total("/sparkline", Method::GET, status).absolute(u64::MAX);
        }
        http_response_failures_total("/sparkline", Method::GET, "panic").absolute(u64::MAX);
        cache_hits_total("query").absolute(u64::MAX);
        cache_misses_total("query").absolute(u64::MAX);
    });
    for at in 2..=62 {
        second(registry, at, || request(200, 0.1));
    }
    let line = points(registry, Window::FiveMinutes, "requests_per_second");
    assert_eq!(line[4..], [Some(1.0); 58]);
    for window in [Window::FiveMinutes, Window::Hour, Window::Day] {
        points(registry, window, "cache_hit_ratio");
        registry.run(|| routes_over(window));
    }
}

#[test]
fn probes_and_scrapes_are_counted_and_are_not_in_the_lines_and_failures_after_the_head_are_errors()
{
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    second(registry, 1, || {
        (0..3).for_each(|_| request(200, 0.1));
        request(503, 0.1);
        http_response_failures_total("/sparkline", Method::GET, "panic").inc();
        for route in ops_http::QUIET_ROUTES {
            http_requests_total(route, Method::GET, 503).inc();
            http_request_latency(route, Method::GET).observe(30.0);
        }
    });
    let line = |name| points(registry, Window::FiveMinutes, name);
    assert_eq!(line("requests_per_second"), [Some(4.0)]);
    assert_eq!(line("error_ratio"), [Some(0.5)]);
    assert!(line("p99_seconds")[0].unwrap() < 0.2);
    let scrapes = r#"http_requests_total{route="/metrics",method="GET",status="503"}"#;
    assert_eq!(registry.value(scrapes), Some(1.0));
}

#[test]
fn a_clock_that_jumped_leaves_a_gap_and_no_spike() {
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    second(registry, 1, || request(200, 0.1));
    second(registry, 5, || (0..8).for_each(|_| request(200, 0.1)));
    let rates = points(registry, Window::FiveMinutes, "requests_per_second");
    assert_eq!(rates, [Some(1.0), None, None, None, Some(2.0)]);
}

#[test]
fn a_late_tick_changes_no_rate_and_moves_no_point() {
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    let tick = |millis, requests: u64| {
        registry.run(|| (0..requests).for_each(|_| request(200, 0.1)));
        registry.tick(Duration::from_millis(millis));
    };
    tick(1000, 10);
    tick(2400, 14);
    tick(3000, 6);
    let rates = || points(registry, Window::FiveMinutes, "requests_per_second");
    assert_eq!(rates(), [Some(10.0); 3]);
    for at in 1..=5 {
        tick(3000 + 1400 * at, 14);
    }
    let late = [
        Some(10.0),
        Some(10.0),
        None,
        Some(10.0),
        Some(10.0),
        None,
        Some(10.0),
    ];
    assert_eq!(rates()[3..], late);
    assert_eq!(registry.run(ops_metrics::history_seconds), 10);
    // a tick soon after a late one would cover too little time
    tick(11_990, 20);
    tick(12_000, 1);
    tick(13_000, 9);
    let (rest, last) = (&rates()[10..], 10.0 / 1.01);
    assert_eq!(rest.len(), 3);
    assert!((rest[0].unwrap() - 20.0 / 1.99).abs() < 1e-9, "{rest:?}");
    assert!(
        (rest[2].unwrap() - last).abs() < 1e-9 && rest[1].is_none(),
        "{rest:?}"
    );
}

#[test]
fn a_tick_that_comes_too_early_waits_for_the_next() {
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    registry.run(|| request(200, 0.1));
    registry.tick(Duration::from_millis(200));
    second(registry, 1, || request(200, 0.1));
    assert_eq!(
        points(registry, Window::FiveMinutes, "requests_per_second"),
        [Some(2.0)]
    );
}

#[test]
fn each_window_keeps_its_points_and_no_more() {
    let registry = Registry::new();
    for at in 0..=4000 {
        registry.tick(Duration::from_secs(at));
    }
    for (window, kept) in [
        (Window::FiveMinutes, 300),
        (Window::Hour, 360),
        (Window::Day, 66),
    ] {
        assert_eq!(
            points(registry, window, "requests_per_second").len(),
            kept,
            "{window:?}"
        );
        assert!(kept <= window.points());
    }
}

#[test]
fn a_longer_step_merges_distributions_and_averages_no_quantile() {
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    // nine busy seconds at 10 ms, one request of 5 s in the tenth: that second has p95 = 5 s
    for at in 1..=9 {
        second(registry, at, || (0..100).for_each(|_| request(200, 0.01)));
    }
    second(registry, 10, || request(200, 5.0));
    let p95 = points(registry, Window::Hour, "p95_seconds");
    assert!((p95[0].unwrap() - 0.01).abs() < 0.001, "{p95:?}");
    let all = registry.run(|| latency_over(Window::Hour));
    assert_eq!(all.count(), 901);
    assert!((all.quantile(1.0).unwrap() - 5.0).abs() < 0.25);
}

#[test]
fn a_route_has_the_requests_of_the_window_and_not_those_before_it() {
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    second(registry, 1, || {
        (0..40).for_each(|_| request(200, 2.0));
        http_requests_total("/healthz", Method::GET, 200).inc();
    });
    // one mark every 30 s: the first ones leave the window of five minutes
    (2..=400).for_each(|at| second(registry, at, || {}));
    second(registry, 401, || {
        (0..97).for_each(|_| request(200, 0.1));
        request(404, 0.1);
        request(503, 0.1);
        request(500, 0.1);
        http_response_failures_total("/sparkline", Method::GET, "body_error").inc();
    });
    let five = registry.run(|| routes_over(Window::FiveMinutes));
    assert_eq!(five.len(), 1, "no probe: {five:?}");
    let route = &five[0];
    assert_eq!((route.route, route.method), ("/sparkline", "GET"));
    assert_eq!(
        (route.requests, route.errors, route.client_errors),
        (100, 3, 1)
    );
    assert!((route.latency.quantile(0.99).unwrap() - 0.1).abs() < 0.005);
    // over 300 to 330 s
    assert!(
        (0.30..=0.34).contains(&route.per_second),
        "{}",
        route.per_second
    );
    let hour = registry.run(|| routes_over(Window::Hour));
    assert_eq!(hour[0].requests, 140);
    assert!((hour[0].latency.quantile(0.99).unwrap() - 2.0).abs() < 0.1);
}

#[test]
fn an_added_sparkline_is_listed() {
    ops_metrics::add_sparkline("depth_of_this_test", || Some(4.0));
    ops_metrics::add_sparkline("depth_of_this_test", || Some(5.0)); // the name is taken
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    registry.tick(Duration::from_secs(1));
    let line = points(registry, Window::FiveMinutes, "depth_of_this_test");
    assert_eq!(line, [Some(4.0)]);
}

#[test]
fn a_sparkline_whose_source_panics_has_a_gap_and_stops_no_other() {
    thread_local! {
        static PANICS: Cell<bool> = const { Cell::new(false) };
    }
    ops_metrics::add_sparkline("panics_in_this_test", || {
        assert!(!PANICS.get(), "a panic of the test");
        Some(1.0)
    });
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    second(registry, 1, || request(200, 0.1));
    PANICS.set(true);
    second(registry, 2, || request(200, 0.1));
    PANICS.set(false);
    second(registry, 3, || request(200, 0.1));
    let line = |name| points(registry, Window::FiveMinutes, name);
    assert_eq!(line("panics_in_this_test"), [Some(1.0), None, Some(1.0)]);
    assert_eq!(line("requests_per_second"), [Some(1.0); 3]);
}

#[test]
fn the_five_first_lines_are_those_that_the_admin_page_always_had() {
    let names: Vec<_> = sparklines().iter().take(5).map(|line| line.name).collect();
    let expected = [
        "requests_per_second",
        "error_ratio",
        "p50_seconds",
        "p95_seconds",
        "cache_hit_ratio",
    ];
    assert_eq!(names, expected);
}

/// Returns the bucket that contains the quantile, like PromQL's `histogram_quantile`.
fn bucket_of_quantile(q: f64, values: &[f64], bounds: &[f64]) -> (f64, f64) {
    let rank = q * values.len() as f64;
    let mut lower = 0.0;
    for bound in bounds {
        let below = values.iter().filter(|value| **value <= *bound).count() as f64;
        if below >= rank {
            return (lower, *bound);
        }
        lower = *bound;
    }
    (lower, f64::INFINITY)
}

proptest! {
    #[test]
    fn quantiles_are_within_five_percent_of_the_exact_ones(
        values in prop::collection::vec(0.000_031_f64..7.9, 1..300),
        q in 0.01_f64..1.0,
    ) {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
        let exact = sorted[rank - 1];
        let found = Distribution::of(values.clone()).quantile(q).unwrap();
        prop_assert!((found - exact).abs() <= 0.05 * exact, "{} instead of {}", found, exact);
        // therefore within one bucket of Prometheus's result for the same observations
        let bounds = ops_metrics::MetricDefinition::BUCKETS;
        let (lower, upper) = bucket_of_quantile(q, &values, bounds);
        prop_assert!(found >= lower * 0.95 && found <= upper * 1.05, "{} not in {}..{}", found, lower, upper);
    }

    #[test]
    fn merged_distributions_are_the_distribution_of_all(
        one in prop::collection::vec(0.0_f64..20.0, 0..100),
        two in prop::collection::vec(0.0_f64..20.0, 0..100),
    ) {
        let mut merged = Distribution::of(one.clone());
        merged.merge(&Distribution::of(two.clone()));
        prop_assert_eq!(merged, Distribution::of(one.into_iter().chain(two)));
    }
}
