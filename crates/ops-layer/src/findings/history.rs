use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::Finding;
use super::snapshot::{Cache, Metrics, SLOW_ANSWER, Snapshot};

/// Window over which a rule compares numbers, unless it has its own.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Window of rules about what is rare.
pub(super) const LONG_WINDOW: Duration = Duration::from_secs(300);
/// Time without a further loss after which a loss is over: batches are sent every 10 s, and every other one may fail.
pub(super) const SETTLED: Duration = Duration::from_secs(30);
/// Time for which snapshots are kept: the longest window of a rule.
const KEPT: Duration = LONG_WINDOW;
/// Time between two points of the hour.
const POINT: Duration = Duration::from_secs(60);
const POINTS: usize = 61;
/// Time for which a step of the clock is a possible cause of other findings.
pub(super) const STEPPED_LATELY: Duration = Duration::from_secs(600);
/// Time for which a route counts as having become slow, after it was last slow: the window of what is usual.
const BECAME_SLOW: Duration = Duration::from_secs(3600);
/// Minimum difference between wall clock and monotonic clock that counts as a step.
const STEP_SECONDS: f64 = 2.0;

/// Cause that never stands, so that no cause of the table applies.
pub(super) const NO_CAUSE: &str = "";

/// Snapshots before the current one, newest last.
#[derive(Debug, Default)]
pub(crate) struct History {
    recent: VecDeque<Arc<Snapshot>>,
    /// Totals of the cache once a minute, for an hour.
    hour: VecDeque<(Duration, Cache)>,
    /// Largest recent step of the clock: its time, and its seconds.
    step: Option<(Duration, f64)>,
    active: Vec<&'static str>,
    /// Slow routes that were not always slow, with the time they were last slow.
    became_slow: HashMap<String, Duration>,
}

impl History {
    pub(crate) fn push(&mut self, snapshot: Arc<Snapshot>) {
        if let Some(before) = self.recent.back()
            && let Some(seconds) = stepped(before, &snapshot)
        {
            // a small correction afterwards is less relevant
            let known = self
                .step
                .filter(|(at, _)| *at + STEPPED_LATELY >= snapshot.at);
            if known.is_none_or(|(_, known)| known.abs() <= seconds.abs()) {
                self.step = Some((snapshot.at, seconds));
            }
        }
        if let Some(cache) = snapshot.cache
            && self
                .hour
                .back()
                .is_none_or(|(at, _)| snapshot.at >= *at + POINT)
        {
            if self.hour.len() == POINTS {
                self.hour.pop_front();
            }
            self.hour.push_back((snapshot.at, cache));
        }
        if let Some(metrics) = &snapshot.metrics {
            let at = snapshot.at;
            let known = &mut self.became_slow;
            known.retain(|_, last| *last + BECAME_SLOW >= at);
            let slow = metrics.slow_routes.iter();
            let slow = slow.filter(|one| one.p95 >= SLOW_ANSWER);
            let slow: Vec<_> = slow
                .filter(|one| known.contains_key(&one.route) || !one.is_usual())
                .collect();
            known.extend(slow.into_iter().map(|one| (one.route.clone(), at)));
        }
        let keep = |old: &Arc<Snapshot>| old.at + KEPT >= snapshot.at;
        while self.recent.front().is_some_and(|old| !keep(old)) {
            self.recent.pop_front();
        }
        self.recent.push_back(snapshot);
    }

    /// Returns the oldest snapshot that is at most this much older than `now`.
    pub(crate) fn since(&self, now: &Snapshot, window: Duration) -> Option<&Snapshot> {
        let mut all = self.recent.iter();
        all.find(|old| old.at + window >= now.at).map(Arc::as_ref)
    }

    /// Returns by how much a number grew in this window; `None` if it was not known at its start or is not now.
    pub(super) fn increase(
        &self,
        now: &Snapshot,
        window: Duration,
        of: impl Fn(&Metrics) -> Option<f64>,
    ) -> Option<f64> {
        let before = of(self.since(now, window)?.metrics.as_ref()?)?;
        Some((of(now.metrics.as_ref()?)? - before).max(0.0))
    }

    /// Returns the newest snapshot that is at least this much older than `now`.
    pub(crate) fn before(&self, now: &Snapshot, age: Duration) -> Option<&Snapshot> {
        let mut all = self.recent.iter().rev();
        all.find(|old| old.at + age <= now.at).map(Arc::as_ref)
    }

    /// Returns the snapshot before `now`.
    pub(crate) fn last(&self) -> Option<&Snapshot> {
        self.recent.back().map(Arc::as_ref)
    }

    /// Returns the totals of the cache an hour ago, or the oldest known ones.
    pub(crate) fn hour_ago(&self) -> Option<Cache> {
        self.hour.front().map(|(_, cache)| *cache)
    }

    /// Returns the number of seconds by which the clock was set within this window.
    pub(crate) fn step(&self, now: &Snapshot, window: Duration) -> Option<f64> {
        let last = self.last().and_then(|before| stepped(before, now));
        let known = self.step.filter(|(at, _)| *at + window >= now.at);
        let known = known.map(|(_, seconds)| seconds);
        let all = last.into_iter().chain(known);
        all.max_by(|one, other| one.abs().total_cmp(&other.abs()))
    }

    /// Returns `true` if the clock was recently set by at least this much: other failures may be a consequence.
    fn was_set(&self, now: &Snapshot, by: Duration) -> bool {
        let step = self.step(now, STEPPED_LATELY);
        step.is_some_and(|seconds| seconds.abs() >= by.as_secs_f64())
    }

    /// Keeps the clock as a possible cause of a finding only if it was recently set by at least this much.
    pub(crate) fn clock_may_explain(
        &self,
        finding: Finding,
        now: &Snapshot,
        by: Duration,
    ) -> Finding {
        match self.was_set(now, by) {
            true => finding,
            false => finding.explained_by(NO_CAUSE),
        }
    }

    /// Returns `true` while this finding stands, for rules whose thresholds for start and end differ.
    pub(crate) fn is_active(&self, id: &str) -> bool {
        self.active.contains(&id)
    }

    /// Returns `true` for a slow route that became slow while it was observed.
    pub(crate) fn became_slow(&self, route: &str) -> bool {
        self.became_slow.contains_key(route)
    }

    pub(crate) fn set_active(&mut self, active: Vec<&'static str>) {
        self.active = active;
    }
}

/// Returns the number of seconds by which the clock was set between two snapshots.
pub(super) fn stepped(before: &Snapshot, now: &Snapshot) -> Option<f64> {
    let wall = match now.wall.duration_since(before.wall) {
        Ok(forward) => forward.as_secs_f64(),
        Err(back) => -back.duration().as_secs_f64(),
    };
    let seconds = wall - now.at.saturating_sub(before.at).as_secs_f64();
    (seconds.abs() >= STEP_SECONDS).then_some(seconds)
}
