//! Series and memory stay bounded whatever strangers send: a separate process, whose memory is counted.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::alloc::System;
use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request as Received};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use http::{Method, Request};
use ops_http::{Ending, Observe as _, ObserveLayer, Outcome, Route};
use ops_metrics::http::RedMetrics;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::ServiceExt as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tolerance for the ticker, whose rings grow by one point a second until they are full.
const SLACK_BYTES: isize = 256 * 1024;

ops_metrics::define! {
    /// Metrics of this test.
    catalog MINE;
    /// Isochrone API calls
    counter isochrone_requests_total { provider: &'static str, mode: &'static str, status: &'static str }
}

/// A generator of the same numbers each time (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn requests() -> usize {
    if std::env::var_os("OPS_TEST_FULL").is_some() {
        1_000_000
    } else {
        30_000
    }
}

fn series() -> BTreeSet<String> {
    let text = ops_metrics::render().unwrap();
    let samples = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
        .collect()
}

/// Adds the matched route, as the feature `axum` of ops-http does.
async fn tell_route(mut request: Received, next: Next) -> axum::response::Response {
    if let Some(matched) = request.extensions().get::<MatchedPath>() {
        let route = Route::new(matched.as_str());
        request.extensions_mut().insert(route);
    }
    next.run(request).await
}

/// Performs a request through the middleware, an observation by hand with any status, and a call of another crate.
async fn stranger(random: &mut Random, app: &Router) {
    let methods = ["GET", "POST", "BREW", "get", "X-RANDOM"];
    let verb = match methods.get(random.next() as usize % 6) {
        Some(known) => (*known).to_owned(),
        None => format!("M{:x}", random.next()),
    };
    let method = Method::from_bytes(verb.as_bytes()).unwrap();
    let path = if random.next().is_multiple_of(2) {
        format!("/users/{}", random.next())
    } else {
        format!(
            "/{:x}/{:x}?q={:x}",
            random.next(),
            random.next(),
            random.next()
        )
    };
    let request = Request::builder()
        .method(method.clone())
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let Ok(response) = app.clone().oneshot(request).await;
    drop(response);

    let route = random
        .next()
        .is_multiple_of(3)
        .then(|| Route::new("/users/{id}"));
    let status = (random.next() % 2000) as u16;
    let elapsed = std::time::Duration::from_nanos(random.next() % 10_000_000_000);
    let (mut parts, ()) = Request::new(()).into_parts();
    RedMetrics::new().start(&mut parts);
    let mut outcome = Outcome::new(method, route, status, Ending::Complete, elapsed);
    outcome.streamed = random.next().is_multiple_of(2);
    RedMetrics::new().end(Default::default(), &outcome);

    let provider = format!("provider-{:x}", random.next());
    let status = format!("{}", random.next());
    metrics::counter!("isochrone_requests_total", "provider" => provider, "mode" => "driving", "status" => status)
        .increment(1);
}

fn observe(method: Method, route: Option<&str>, status: u16, streamed: bool) {
    let (mut parts, ()) = Request::new(()).into_parts();
    RedMetrics::new().start(&mut parts);
    let elapsed = Duration::from_nanos(u64::from(status) * 1_234_567);
    let mut outcome = Outcome::new(
        method,
        route.map(Route::new),
        status,
        Ending::Complete,
        elapsed,
    );
    outcome.streamed = streamed;
    RedMetrics::new().end(Default::default(), &outcome);
}

/// Performs every possible combination, which random requests would take long to reach.
fn fill() {
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "BREW",
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for route in [None, Some("/users/{id}")] {
            for status in (200..250).chain([999]) {
                observe(method.clone(), route, status, true);
                observe(method.clone(), route, status, false);
            }
        }
    }
}

#[tokio::test]
async fn random_requests_leave_series_and_memory_as_they_are() {
    ops_metrics::init(
        ops_metrics::Config::new()
            .catalog(MINE)
            .label_values_max(50),
    )
    .unwrap();
    let app = Router::new()
        .route("/users/{id}", get(|| async { "fine" }))
        .layer(ObserveLayer::new((RedMetrics::new(),)))
        .layer(from_fn(tell_route));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    fill();
    for _ in 0..5_000 {
        stranger(&mut random, &app).await;
    }
    let before = series();
    let region = Region::new(ALLOCATOR);
    for _ in 0..requests() {
        stranger(&mut random, &app).await;
    }
    let change = region.change();
    let live = change.bytes_allocated as isize - change.bytes_deallocated as isize;
    let after = series();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?} and {} before", before.len());
    assert!(live.abs() < SLACK_BYTES, "{live} bytes more are alive");
    let overflows = ops_metrics::overflows();
    assert!(
        overflows
            .iter()
            .any(|overflow| overflow.label == "provider" && overflow.count > 1000),
        "{overflows:?}"
    );
}
