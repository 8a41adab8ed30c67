//! Requests by route: totals at marks in the past; the difference to a mark is a window.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::builtin;
use crate::history::interval::{is_for_users, is_server_error};
use crate::history::sparkline::Window;
use crate::series::distribution::{Distribution, FINE_BUCKETS};
use crate::series::family::{Series, Value};

/// Number of marks in a window, besides the one at its beginning.
const MARKS: u32 = 10;

/// Requests of one route and method in a window.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RouteSummary {
    /// Template of the route, `unmatched`, or `other` beyond the limit of label values.
    pub route: &'static str,
    /// Method.
    pub method: &'static str,
    /// Number of requests.
    pub requests: u64,
    /// Number of failed requests: with a status of 500 or more, after their head, or as a gRPC call.
    pub errors: u64,
    /// Number of requests with a status from 400 to 499.
    pub client_errors: u64,
    /// Requests per second.
    pub per_second: f64,
    /// Distribution of the time to the head of the response.
    pub latency: Distribution,
}

type Route = (&'static str, &'static str);

#[derive(Clone, Debug, Default)]
struct Counts {
    requests: u64,
    errors: u64,
    client_errors: u64,
    latency: Distribution,
}

/// Totals of all routes at one moment.
#[derive(Clone, Debug)]
struct Mark {
    at: Duration,
    totals: Arc<BTreeMap<Route, Counts>>,
}

/// Marks of each window, oldest first.
#[derive(Debug)]
pub(crate) struct Marks {
    rings: [VecDeque<Mark>; Window::ALL.len()],
    /// Time of the last tick, by the ticker and by the system's monotonic clock.
    latest: Option<(Duration, Instant)>,
}

impl Marks {
    pub(crate) const fn new() -> Self {
        Self {
            rings: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            latest: None,
        }
    }

    pub(crate) fn tick(&mut self, now: Duration) {
        self.latest = Some((now, Instant::now()));
        let mut mark = None;
        for (ring, window) in self.rings.iter_mut().zip(Window::ALL) {
            let length = length(window);
            let is_due = |last: &Mark| now.saturating_sub(last.at) >= length / MARKS;
            if !ring.back().is_none_or(is_due) {
                continue;
            }
            let read = || Mark {
                at: now,
                totals: Arc::new(read()),
            };
            ring.push_back(mark.get_or_insert_with(read).clone());
            // the mark at the beginning of the window stays
            while ring
                .get(1)
                .is_some_and(|next| now.saturating_sub(next.at) >= length)
            {
                ring.pop_front();
            }
        }
    }

    pub(crate) fn since(&self, window: Window) -> Vec<RouteSummary> {
        let rings = self.rings.iter().zip(Window::ALL);
        let ring = rings.into_iter().find(|(_, of)| *of == window);
        let (Some((tick, at)), Some(mark)) = (self.latest, ring.and_then(|(ring, _)| ring.front()))
        else {
            return Vec::new();
        };
        let seconds = (tick.saturating_sub(mark.at) + at.elapsed()).as_secs_f64();
        let earlier = Counts::default();
        let mut routes: Vec<_> = read()
            .into_iter()
            .map(|(route, now)| {
                let before = mark.totals.get(&route).unwrap_or(&earlier);
                now.since(before, route, seconds)
            })
            .filter(|summary| summary.requests > 0)
            .collect();
        routes.sort_by_key(|summary| std::cmp::Reverse(summary.requests));
        routes
    }
}

impl Counts {
    fn since(&self, before: &Self, (route, method): Route, seconds: f64) -> RouteSummary {
        let requests = self.requests.saturating_sub(before.requests);
        RouteSummary {
            route,
            method,
            requests,
            // requests are read first: a request that ends in between is among the failures only
            errors: self.errors.saturating_sub(before.errors).min(requests),
            client_errors: self.client_errors.saturating_sub(before.client_errors),
            per_second: if seconds > 0.0 {
                requests as f64 / seconds.max(1.0)
            } else {
                0.0
            },
            latency: self.latency.since(&before.latency),
        }
    }
}

fn length(window: Window) -> Duration {
    let points = u32::try_from(window.points()).unwrap_or(u32::MAX);
    window.step() * points
}

fn read() -> BTreeMap<Route, Counts> {
    let mut routes = BTreeMap::<Route, Counts>::new();
    for series in users(builtin::http_requests_total::family().sorted()) {
        let (Some(counts), Value::Counter(counter)) = (of(&mut routes, series), &series.value)
        else {
            continue;
        };
        // sums wrap around like the totals
        add(&mut counts.requests, counter.get());
        if is_server_error(series) {
            add(&mut counts.errors, counter.get());
        } else if series
            .labels
            .last()
            .is_some_and(|status| status.starts_with('4'))
        {
            add(&mut counts.client_errors, counter.get());
        }
    }
    for series in users(builtin::http_response_failures_total::family().sorted()) {
        if let (Some(counts), Value::Counter(counter)) = (of(&mut routes, series), &series.value) {
            add(&mut counts.errors, counter.get());
        }
    }
    for series in users(builtin::http_request_latency::family().sorted()) {
        if let (Some(counts), Value::Histogram(times)) = (of(&mut routes, series), &series.value) {
            let mut fine = [0; FINE_BUCKETS];
            times.add_fine_to(&mut fine);
            counts.latency = Distribution::from_counts(fine);
        }
    }
    routes
}

fn add(sum: &mut u64, count: u64) {
    *sum = sum.wrapping_add(count);
}

fn users(series: Vec<&'static Series>) -> impl Iterator<Item = &'static Series> {
    series.into_iter().filter(|series| is_for_users(series))
}

/// Returns the counts of the route and the method, which are the first labels.
fn of<'a>(
    routes: &'a mut BTreeMap<Route, Counts>,
    series: &'static Series,
) -> Option<&'a mut Counts> {
    let [route, method, ..] = series.labels.as_slice() else {
        return None;
    };
    Some(routes.entry((route, method)).or_default())
}
