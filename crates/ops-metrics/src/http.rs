//! Requests, errors and durations, observed through ops-http.

use http::{request, response};
use ops_http::{Observe, Outcome};

use crate::builtin::{
    http_request_latency, http_requests_in_flight, http_requests_total, http_stream_duration,
};
use crate::series::label::Label as _;

/// Counts each request once, however it ended, under its route's template (`unmatched` where there is none).
///
/// Streamed responses are timed in `http_stream_duration_seconds`, so that they do not distort the latency.
#[derive(Clone, Copy, Debug, Default)]
pub struct RedMetrics;

impl RedMetrics {
    /// The observer.
    pub fn new() -> Self {
        Self
    }
}

impl Observe for RedMetrics {
    type Scope = ();
    type Entered<'a> = ();

    fn start(&self, _: &mut request::Parts) {
        http_requests_in_flight().add(1.0);
    }

    fn enter(&self, (): &mut ()) {}

    fn response(&self, (): &mut (), _: &mut response::Parts) {}

    fn end(&self, (): (), outcome: &Outcome) {
        http_requests_in_flight().add(-1.0);
        let route = outcome
            .route
            .as_ref()
            .map_or("unmatched", |route| route.template());
        let method = outcome.method.text();
        http_requests_total::family()
            .counter(&[route, method, outcome.status.text()])
            .inc();
        let durations = if outcome.streamed {
            http_stream_duration::family()
        } else {
            http_request_latency::family()
        };
        durations
            .histogram(&[route, method])
            .observe(outcome.elapsed.as_secs_f64());
    }
}
