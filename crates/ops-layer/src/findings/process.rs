//! Rules about the process and its machine: disk, memory, processor, descriptors, panics, metrics.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::time::Duration;

use super::history::{History, WINDOW};
use super::snapshot::{Disk, Metrics, SLOW_ANSWER, STAYS_SLOW, SlowRoute, Snapshot};
use super::{EVERY, Finding, Severity};

const MIB: u64 = 1 << 20;
const LONG_WINDOW: Duration = Duration::from_secs(300);
/// Number of periods of 100 ms below which their throttled share is not meaningful.
const PERIODS: f64 = 50.0;
/// Maximum size that a free share refers to, in bytes: a small share of it is too little for an hour of a busy service.
const FREE_SHARE_MAX_BYTES: f64 = 40.0 * (1_u64 << 30) as f64;
/// Maximum number of inodes that a free share refers to: a small
/// share of them is too few for an hour of many small files.
const FREE_SHARE_MAX_FILES: f64 = 2e6;
const THROTTLED_SHARE: f64 = 0.25;

impl Disk {
    /// Returns whether there is no room for a file of a few MiB.
    fn is_full(&self) -> bool {
        let share = (self.total / 100).min(256 * MIB);
        let little = share.max((self.total / 20).min(16 * MIB));
        self.free < little || self.free_files.is_some_and(|files| files == 0)
    }

    /// Returns the free inodes and their total, if less than this share is free.
    fn few_files(&self, least: f64) -> Option<(u64, u64)> {
        let (free, all) = (self.free_files?, self.files?);
        let is_few = (free as f64) < least * FREE_SHARE_MAX_FILES.min(all as f64);
        is_few.then_some((free, all))
    }

    fn seen(&self, least: f64) -> String {
        let mib = |bytes: u64| bytes / MIB;
        let files = match self.few_files(least) {
            _ if self.free_files == Some(0) => ", and no inodes are free".to_owned(),
            Some((free, all)) => format!(", and {free} of {all} inodes"),
            None => String::new(),
        };
        format!(
            "{} MiB of {} MiB are free in {}{files}",
            mib(self.free),
            mib(self.total),
            self.path
        )
    }
}

pub(super) fn disk_full(now: &Snapshot, _: &History) -> Option<Finding> {
    let disk = now.disks.iter().find(|disk| disk.is_full())?;
    let finding = Finding::new("disk_full", Severity::Critical)
        .seen(disk.seen(0.05))
        .means("Log lines, cache entries and data can no longer be written.")
        .action("Free disk space: run `du -xh --max-depth=2` there, with `--inodes` if no inodes are free. `cache clear` frees the space of the cache.");
    Some(finding.runbook("disk-full"))
}

pub(super) fn disk_nearly_full(now: &Snapshot, history: &History) -> Option<Finding> {
    let least = if history.is_active("disk_nearly_full") {
        0.06
    } else {
        0.05
    };
    let is_nearly = |disk: &&Disk| {
        let is_small = disk.total > 0
            && (disk.free as f64) < least * FREE_SHARE_MAX_BYTES.min(disk.total as f64);
        !disk.is_full() && (is_small || disk.few_files(least).is_some())
    };
    let disk = now.disks.iter().find(is_nearly)?;
    let finding = Finding::new("disk_nearly_full", Severity::Warning)
        .seen(disk.seen(least))
        .means("Once the disk is full, log lines and cache entries are lost.")
        .action("Free disk space, or lower `max_size_mb` in cache.yaml. `du --inodes -x --max-depth=2` finds directories with many small files.");
    Some(finding.runbook("disk-full"))
}

pub(super) fn memory(now: &Snapshot, history: &History) -> Option<Finding> {
    let metrics = now.metrics.as_ref()?;
    let (used, limit) = (metrics.memory?, metrics.memory_limit?);
    let share = used / limit.max(1.0);
    let most = if history.is_active("memory_near_limit") {
        0.85
    } else {
        0.9
    };
    (share >= most).then(|| {
        Finding::new("memory_near_limit", Severity::Critical)
            .seen(format!(
                "the control group uses {:.0} of {:.0} MiB ({:.0} %), reclaimable page cache excluded",
                used / MIB as f64,
                limit / MIB as f64,
                share * 100.0
            ))
            .means("The kernel kills the process when the limit is reached.")
            .action("Raise the memory limit, or lower `memory_mb` in cache.yaml and the memory limit of DuckDB.")
            .runbook("memory-near-limit")
    })
}

pub(super) fn oom(now: &Snapshot, history: &History) -> Option<Finding> {
    let kills = increase(now, history, LONG_WINDOW, |metrics| metrics.oom_kills)?;
    (kills > 0.0).then(|| {
        Finding::new("oom_kills", Severity::Critical)
            .seen(format!(
                "the kernel killed {kills:.0} processes of this control group in the last 5 minutes"
            ))
            .means("The memory limit was reached.")
            .action("Raise the memory limit, or find the process that grows.")
            .runbook("memory-near-limit")
    })
}

pub(super) fn throttled(now: &Snapshot, history: &History) -> Option<Finding> {
    let periods = increase(now, history, WINDOW, |metrics| metrics.cpu_periods)?;
    let stopped = increase(now, history, WINDOW, |metrics| metrics.throttled_periods)?;
    let seconds =
        increase(now, history, WINDOW, |metrics| metrics.throttled_seconds).unwrap_or(0.0);
    let limit = now.metrics.as_ref()?.cpu_limit?;
    let least = if history.is_active("cpu_throttled") {
        THROTTLED_SHARE / 2.0
    } else {
        THROTTLED_SHARE
    };
    (periods >= PERIODS && stopped / periods >= least).then(|| {
        Finding::new("cpu_throttled", Severity::Warning)
            .seen(format!(
                "the kernel throttled the process in {:.0} % of the last {periods:.0} periods, for {seconds:.1} s: the limit is \
                 {limit:.2} cores",
                stopped / periods * 100.0
            ))
            .means("Every request waits while the process is throttled; latency rises even if the machine is idle.")
            .action("Raise the CPU limit of the container, or remove it and keep the request.")
            .runbook("cpu-throttled")
    })
}

pub(super) fn descriptors(now: &Snapshot, history: &History) -> Option<Finding> {
    let metrics = now.metrics.as_ref()?;
    let (open, max) = (metrics.open_fds?, metrics.max_fds?);
    let share = open / max.max(1.0);
    let most = if history.is_active("descriptors_low") {
        0.75
    } else {
        0.8
    };
    let severity = if share >= 0.95 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    (share >= most).then(|| {
        Finding::new("descriptors_low", severity)
            .seen(format!("{open:.0} of {max:.0} file descriptors are open"))
            .means("At the limit, connections are refused and files cannot be opened.")
            .action(
                "Raise LimitNOFILE or `ulimit -n`; a count that grows without traffic is a leak.",
            )
            .runbook("file-descriptors-low")
    })
}

pub(super) fn panics(now: &Snapshot, history: &History) -> Option<Finding> {
    let panics = increase(now, history, LONG_WINDOW, |metrics| Some(metrics.panics))?;
    (panics > 0.0).then(|| {
        Finding::new("panics", Severity::Warning)
            .seen(format!("{panics:.0} panics in the last 5 minutes"))
            .means("The code has a bug; a request that hits it fails with status 500.")
            .action("See the log event `panic` for message and location.")
            .runbook("panics")
    })
}

pub(super) fn cardinality(now: &Snapshot, history: &History) -> Option<Finding> {
    let metrics = now.metrics.as_ref()?;
    let before = history.since(now, LONG_WINDOW)?.metrics.as_ref()?;
    let growth = |overflow: &super::snapshot::Overflow| {
        let known = before
            .overflows
            .iter()
            .find(|known| (known.metric, known.label) == (overflow.metric, overflow.label));
        overflow
            .count
            .saturating_sub(known.map_or(0, |known| known.count))
    };
    let worst = metrics
        .overflows
        .iter()
        .max_by_key(|overflow| growth(overflow))?;
    let count = growth(worst);
    (count > 0).then(|| {
        Finding::new("cardinality_overflow", Severity::Warning)
            .seen(format!(
                "label {} of {} has too many values: {count} were recorded as `other` in the last 5 minutes, such as {:?}",
                worst.label, worst.metric, worst.example
            ))
            .means("Dashboards cannot distinguish these values.")
            .action("Restrict the label to a fixed set of values; label routes by their template.")
            .runbook("cardinality-overflow")
    })
}

/// Finds failures of all requests in the last minute, or of one route in that time; with few requests,
/// in a longer window: of all, or of one route. A route that fails as a whole may be a small share of
/// all requests, and a route that is requested twice a minute rarely fails in absolute numbers.
pub(super) fn requests(now: &Snapshot, history: &History) -> Option<Finding> {
    let of_all = || {
        let all = counted(now, history, WINDOW).filter(|all| all.is_many(10.0, 0.05))?;
        Some((all, None, WINDOW))
    };
    let of_one = || {
        let (route, one) = worst_route(now, history, WINDOW, |_, one| one.is_many(10.0, 0.5))?;
        Some((one, Some(route), WINDOW))
    };
    let few = |counts: &Counts| counts.is_many(5.0, 0.5);
    let few_of_all = || {
        let goes_on = counted(now, history, WINDOW).is_some_and(|minute| minute.failed > 0.0);
        let all = counted(now, history, LONG_WINDOW).filter(|all| few(all) && goes_on)?;
        Some((all, None, LONG_WINDOW))
    };
    let few_of_one = || {
        let failed_lately = LazyCell::new(|| failed_routes(now, history, WINDOW));
        let goes_on = |route: &str| failed_lately.iter().any(|(failed, _)| *failed == route);
        let is_wanted = |route: &str, one: &Counts| few(one) && goes_on(route);
        let (route, one) = worst_route(now, history, LONG_WINDOW, is_wanted)?;
        Some((one, Some(route), LONG_WINDOW))
    };
    let found = of_all().or_else(of_one).or_else(few_of_all);
    let (counts, of_route, window) = found.or_else(few_of_one)?;
    let place = of_route
        .as_ref()
        .map_or_else(String::new, |route| format!(" of {route}"));
    let time = match window {
        WINDOW => "minute",
        _ => "5 minutes",
    };
    let mut finding = Finding::new("requests_failing", Severity::Critical);
    let failed_routes = failed_routes(now, history, window).into_iter();
    let failed_routes = failed_routes.map(|(route, one)| (route, one.failed));
    let worst = failed_routes.max_by(|(_, one), (_, other)| one.total_cmp(other));
    finding.has_other_routes =
        of_route.is_none() && worst.is_some_and(|(_, one)| one < counts.failed / 2.0);
    finding.route = of_route.or_else(|| worst.map(|(route, _)| route.to_owned()));
    // a panic is counted before its failure, and so perhaps before the first snapshot of the window
    let with_look_before = window + 2 * EVERY;
    let panics = increase(now, history, with_look_before, |metrics| {
        Some(metrics.panics)
    })?;
    // neither panics nor responses of a limit have a route: for a named route,
    // they are taken as the reason only if they could account for every failure
    let least = match place.is_empty() {
        true => counts.failed / 2.0,
        false => counted(now, history, window)?.failed,
    };
    // failures with another status, such as 503, have another reason
    let internal = increase(now, history, window, |metrics| metrics.internal_errors);
    if panics >= least && internal.is_none_or(|internal| internal >= least) {
        finding = finding.explained_by("panics");
    }
    let Counts { all, failed } = counts;
    let of_limit = |number: fn(&Metrics) -> u64| {
        increase(now, history, window, |metrics| Some(number(metrics) as f64)).unwrap_or(0.0)
    };
    let (refused, late) = (
        of_limit(|metrics| metrics.refused),
        of_limit(|metrics| metrics.late),
    );
    let is_of_limits = refused + late >= least;
    let mut limits = String::new();
    if refused > 0.0 && (place.is_empty() || is_of_limits) {
        limits += &format!("; {refused:.0} were rejected because `max_in_flight` was reached");
    }
    if late > 0.0 && (place.is_empty() || is_of_limits) {
        limits += &format!("; {late:.0} exceeded `timeout`");
    }
    let action = match is_of_limits {
        true => {
            "Find what they wait for: slow traces on the admin page show it. If they wait for nothing, raise the limit."
        }
        false => {
            "Check the failed traces on the admin page, and the log lines of these requests, which have route and trace id."
        }
    };
    Some(
        finding
            .seen(format!(
                "{failed:.0} of {all:.0} requests{place} failed (5xx, aborted response or gRPC error) in the last {time}{limits}"
            ))
            .means("Users see errors.")
            .action(action)
            .runbook("api-availability-burn"),
    )
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
    let all = increase(now, history, window, |metrics| Some(metrics.requests))?;
    let failed = increase(now, history, window, |metrics| Some(metrics.server_errors))?;
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

fn increase(
    now: &Snapshot,
    history: &History,
    window: Duration,
    of: impl Fn(&Metrics) -> Option<f64>,
) -> Option<f64> {
    let before = of(history.since(now, window)?.metrics.as_ref()?)?;
    Some((of(now.metrics.as_ref()?)? - before).max(0.0))
}
