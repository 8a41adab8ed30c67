//! Rules about requests that fail, and routes that are slow.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::time::Duration;

use super::history::{History, LONG_WINDOW, WINDOW};
use super::snapshot::{Metrics, SLOW_ANSWER, STAYS_SLOW, SlowRoute, Snapshot};
use super::{EVERY, Finding, Severity};

/// Requests that fail too often: all of a window, or those of one route.
struct Failing {
    counts: Counts,
    route: Option<String>,
    window: Duration,
}

impl Failing {
    /// Finds failures of all requests in the last minute, or of one route in that time; with few requests,
    /// in a longer window: of all, or of one route. A route that fails as a whole may be a small share of
    /// all requests, and a route that is requested twice a minute rarely fails in absolute numbers.
    fn find(now: &Snapshot, history: &History) -> Option<Self> {
        let all = |counts, window| Self {
            counts,
            route: None,
            window,
        };
        let one = |(route, counts), window| Self {
            counts,
            route: Some(route),
            window,
        };
        let of_all = || {
            let counts = counted(now, history, WINDOW).filter(|all| all.is_many(10.0, 0.05))?;
            Some(all(counts, WINDOW))
        };
        let of_one = || {
            let worst = worst_route(now, history, WINDOW, |_, one| one.is_many(10.0, 0.5))?;
            Some(one(worst, WINDOW))
        };
        let few = |counts: &Counts| counts.is_many(5.0, 0.5);
        let few_of_all = || {
            let goes_on = counted(now, history, WINDOW).is_some_and(|minute| minute.failed > 0.0);
            let counts = counted(now, history, LONG_WINDOW).filter(|all| few(all) && goes_on)?;
            Some(all(counts, LONG_WINDOW))
        };
        let few_of_one = || {
            let failed_lately = LazyCell::new(|| failed_routes(now, history, WINDOW));
            let goes_on = |route: &str| failed_lately.iter().any(|(failed, _)| *failed == route);
            let is_wanted = |route: &str, one: &Counts| few(one) && goes_on(route);
            let worst = worst_route(now, history, LONG_WINDOW, is_wanted)?;
            Some(one(worst, LONG_WINDOW))
        };
        let found = of_all().or_else(of_one).or_else(few_of_all);
        found.or_else(few_of_one)
    }

    /// Returns the number of failures above which something that has no route, such as panics and responses of a limit,
    /// is taken as their reason: for a named route only if it could account for every failure.
    fn explained_from(&self, now: &Snapshot, history: &History) -> Option<f64> {
        Some(match self.route {
            None => self.counts.failed / 2.0,
            Some(_) => counted(now, history, self.window)?.failed,
        })
    }

    /// Returns `true` if at least this number of requests may have failed because of panics.
    fn has_panics(&self, now: &Snapshot, history: &History, least: f64) -> Option<bool> {
        // a panic is counted before its failure, and so perhaps before the first snapshot of the window
        let with_look_before = self.window + 2 * EVERY;
        let panics = history.increase(now, with_look_before, |metrics| Some(metrics.panics))?;
        // failures with another status, such as 503, have another reason
        let internal = history.increase(now, self.window, |metrics| metrics.internal_errors);
        Some(panics >= least && internal.is_none_or(|internal| internal >= least))
    }

    /// Returns what limits of the service rejected, as a text, and whether that is at least this number of requests.
    fn of_limits(&self, now: &Snapshot, history: &History, least: f64) -> (String, bool) {
        let of_limit = |number: fn(&Metrics) -> u64| {
            let number = |metrics: &Metrics| Some(number(metrics) as f64);
            history.increase(now, self.window, number).unwrap_or(0.0)
        };
        let refused = of_limit(|metrics| metrics.refused);
        let late = of_limit(|metrics| metrics.late);
        let is_reason = refused + late >= least;
        let mut text = String::new();
        if refused > 0.0 && (self.route.is_none() || is_reason) {
            text += &format!("; {refused:.0} were rejected because `max_in_flight` was reached");
        }
        if late > 0.0 && (self.route.is_none() || is_reason) {
            text += &format!("; {late:.0} exceeded `timeout`");
        }
        (text, is_reason)
    }
}

/// Finds requests that fail too often.
pub(super) fn failing(now: &Snapshot, history: &History) -> Option<Finding> {
    let found = Failing::find(now, history)?;
    let least = found.explained_from(now, history)?;
    let has_panics = found.has_panics(now, history, least)?;
    let (limits, is_of_limits) = found.of_limits(now, history, least);
    let Failing {
        counts: Counts { all, failed },
        route,
        window,
    } = found;
    let place = route
        .as_ref()
        .map_or_else(String::new, |route| format!(" of {route}"));
    let time = match window {
        WINDOW => "minute",
        _ => "5 minutes",
    };
    let action = match is_of_limits {
        true => {
            "Find what they wait for: slow traces on the admin page show it. If they wait for nothing, raise the limit."
        }
        false => {
            "Check the failed traces on the admin page, and the log lines of these requests, which have route and trace id."
        }
    };
    let mut finding = Finding::new("requests_failing", Severity::Critical)
        .seen(format!(
            "{failed:.0} of {all:.0} requests{place} failed (5xx, aborted response or gRPC error) in the last {time}{limits}"
        ))
        .means("Users see errors.")
        .action(action)
        .runbook("api-availability-burn");
    if has_panics {
        finding = finding.explained_by("panics");
    }
    let routes = failed_routes(now, history, window).into_iter();
    let routes = routes.map(|(route, one)| (route, one.failed));
    let worst = routes.max_by(|(_, one), (_, other)| one.total_cmp(other));
    finding.has_other_routes =
        route.is_none() && worst.is_some_and(|(_, of_worst)| of_worst < failed / 2.0);
    finding.route = route.or_else(|| worst.map(|(route, _)| route.to_owned()));
    Some(finding)
}

/// Finds a route that has been slow for a minute.
pub(super) fn slow(now: &Snapshot, history: &History) -> Option<Finding> {
    slow_route(now, history, false)
}

/// Finds a route whose responses usually take that long, such as a long
/// poll: no reason to act, unless it became slow while it was observed.
pub(super) fn usually_slow(now: &Snapshot, history: &History) -> Option<Finding> {
    slow_route(now, history, true)
}

fn slow_route(now: &Snapshot, history: &History, usually: bool) -> Option<Finding> {
    let (id, severity) = match usually {
        true => ("requests_usually_slow", Severity::Info),
        false => ("requests_slow", Severity::Warning),
    };
    let least = match history.is_active(id) {
        true => STAYS_SLOW,
        false => SLOW_ANSWER,
    };
    let slow = &now.metrics.as_ref()?.slow_routes;
    let was = &history.before(now, WINDOW)?.metrics.as_ref()?.slow_routes;
    let was_slow = |one: &&SlowRoute| {
        let mut was = was.iter();
        was.any(|known| known.route == one.route && known.p95 >= least)
    };
    let is_usual = |one: &SlowRoute| one.is_usual() && !history.became_slow(&one.route);
    let time = |one: &SlowRoute| one.p95 * one.requests as f64;
    let slow = slow.iter().filter(|one| one.p95 >= least);
    let slow = slow.filter(|one| is_usual(one) == usually);
    let worst = slow.filter(was_slow);
    let worst = worst.max_by(|one, other| time(one).total_cmp(&time(other)))?;
    let SlowRoute {
        route,
        requests,
        p95,
        usual,
        ..
    } = worst;
    // the client's reason is unknown: it may close a stream as usual, or search again with one more letter
    let given_up = given_up(now, history, route).min(*requests as f64);
    let (how_many, or_not) = match given_up > 0.0 {
        true => (
            format!(", {given_up:.0} of them canceled by the client,"),
            " or canceled",
        ),
        false => (String::new(), ""),
    };
    let mut finding = Finding::new(id, severity);
    finding.without_queries = worst.waits_for_queries == Some(false);
    Some(
        finding
            .seen(format!(
                "95 % of {requests} requests of {route} in the last 5 minutes{how_many} were answered{or_not} within {p95:.1} s, half \
                 of those in the last hour within {usual:.2} s"
            ))
            .means(match severity {
                Severity::Info => "Users wait, unless this route is slow by design.",
                _ => "At least one in twenty requests takes this long; most are usually faster.",
            })
            .action("Open a slow trace of this route: its spans show where the time is spent.")
            .route(route.as_str())
            .runbook("high-api-latency"),
    )
}

/// Returns the number of requests of a route in five minutes whose client went away before the end of the response.
fn given_up(now: &Snapshot, history: &History, route: &str) -> f64 {
    let of = |snapshot: &Snapshot| {
        let counts = &snapshot.metrics.as_ref()?.given_up_by_route;
        let known = counts.iter().find(|(known, _)| known == route);
        known.map(|(_, count)| *count)
    };
    let before = history.since(now, LONG_WINDOW).and_then(of);
    of(now).unwrap_or(0.0) - before.unwrap_or(0.0)
}

/// Number of requests in a window, and of the failed ones.
#[derive(Clone, Copy)]
struct Counts {
    all: f64,
    failed: f64,
}

impl Counts {
    fn new(all: f64, failed: f64) -> Self {
        // failures are read first: of a request that ends in between, only the failure is new in the next snapshot
        let failed = failed.min(all);
        Self { all, failed }
    }

    fn is_many(&self, least: f64, share: f64) -> bool {
        self.failed >= least && self.failed / self.all.max(1.0) >= share
    }
}

fn counted(now: &Snapshot, history: &History, window: Duration) -> Option<Counts> {
    let all = history.increase(now, window, |metrics| Some(metrics.requests))?;
    let failed = history.increase(now, window, |metrics| Some(metrics.server_errors))?;
    Some(Counts::new(all, failed))
}

/// Returns the wanted route that failed most often in this window.
fn worst_route(
    now: &Snapshot,
    history: &History,
    window: Duration,
    is_wanted: impl Fn(&str, &Counts) -> bool,
) -> Option<(String, Counts)> {
    let routes = failed_routes(now, history, window).into_iter();
    let routes = routes.filter(|(route, one)| is_wanted(route, &one.counts));
    let (route, worst) =
        routes.max_by(|(_, one), (_, other)| one.failed.total_cmp(&other.failed))?;
    Some((route.to_owned(), worst.counts))
}

/// Failed requests of a route, and their relation to all of its requests.
struct Failed {
    /// May exceed the number of ended requests, see [`Counts::new`].
    failed: f64,
    counts: Counts,
}

/// Returns the routes that failed in this window.
fn failed_routes<'a>(
    now: &'a Snapshot,
    history: &History,
    window: Duration,
) -> Vec<(&'a str, Failed)> {
    let before = history.since(now, window);
    let before = before.and_then(|before| before.metrics.as_ref());
    let (Some(before), Some(metrics)) = (before, &now.metrics) else {
        return Vec::new();
    };
    let [failed_before, all_before, all] = [
        &before.errors_by_route,
        &before.requests_by_route,
        &metrics.requests_by_route,
    ]
    .map(|counts| {
        let counts = counts.iter().map(|(route, count)| (route.as_str(), *count));
        let counts: HashMap<_, _> = counts.collect();
        move |route| counts.get(route).copied().unwrap_or(0.0)
    });
    let routes = metrics.errors_by_route.iter().map(|(route, count)| {
        let route = route.as_str();
        let failed = count - failed_before(route);
        let counts = Counts::new(all(route) - all_before(route), failed);
        (route, Failed { failed, counts })
    });
    routes.filter(|(_, one)| one.failed > 0.0).collect()
}
