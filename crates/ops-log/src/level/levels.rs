use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};

use crate::level::filter::{Threshold, is_same};
use crate::level::late_lines::LateLines;
use crate::{Filter, Level};

/// Default time after which a changed level reverts: 15 minutes.
pub const LEVEL_TTL: Duration = Duration::from_secs(15 * 60);

/// Maximum duration of a changed level: 24 hours; longer ones are cut to it.
pub const MAX_LEVEL_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum number of targets whose level is changed at a time: 64. Further
/// changes are refused; a second change of a target replaces the first.
pub const MAX_LEVEL_CHANGES: usize = 64;

/// Decides which lines are written. The common case is one
/// atomic load; the filter is evaluated only if targets differ.
#[derive(Debug)]
pub(crate) struct Levels {
    /// Threshold of the most verbose target, and above it that of the most severe one.
    level_bounds: AtomicU16,
    /// `None` before the first configuration.
    filter: ArcSwapOption<Filter>,
    /// Set while lines are kept for requests.
    keeps_late: AtomicBool,
    late: ArcSwapOption<LateLines>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    configured: Option<Filter>,
    /// Filters of single outputs, which overrides do not change.
    of_outputs: Vec<Filter>,
    overrides: Vec<Override>,
    late: LateLines,
    late_override: Option<LateOverride>,
    /// Set while a thread waits for the end of the next override.
    reverting: bool,
    /// Number of active captures: they see every level.
    captures: usize,
}

/// Level that is changed for a while.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    pub(crate) target: String,
    pub(crate) level: Level,
    pub(crate) before: &'static str,
    pub(crate) until: Instant,
    pub(crate) who: String,
    pub(crate) why: String,
}

/// Setting for late lines that is changed for a while.
#[derive(Clone, Debug)]
pub(crate) struct LateOverride {
    pub(crate) late: LateLines,
    pub(crate) until: Instant,
    pub(crate) who: String,
    pub(crate) why: String,
}

/// End of a change, and the setting from then on.
pub(crate) enum Reverted {
    Level(Override, &'static str),
    Late(LateOverride, LateLines),
}

/// Level in effect for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelRule {
    /// Prefix of the loggers and modules to which it applies; empty for all.
    pub target: String,
    /// Minimum level that is written; `None` if no lines are written.
    pub level: Option<Level>,
    /// Remaining time, author and reason of a temporary change; `None` if the level was configured.
    pub temporary: Option<Temporary>,
}

/// Details of a change that will revert.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Temporary {
    /// Time until it reverts.
    pub remaining: Duration,
    /// Person or program that requested the change.
    pub who: String,
    /// Reason given for the change.
    pub why: String,
}

const fn level_bounds(most_verbose: Threshold, most_severe: Threshold) -> u16 {
    most_verbose.0 as u16 | (most_severe.0 as u16) << 8
}

impl Levels {
    pub(crate) const fn new() -> Self {
        let info = Threshold::from(Level::Info);
        Self {
            level_bounds: AtomicU16::new(level_bounds(info, info)),
            filter: ArcSwapOption::const_empty(),
            keeps_late: AtomicBool::new(false),
            late: ArcSwapOption::const_empty(),
            state: Mutex::new(State {
                configured: None,
                of_outputs: Vec::new(),
                overrides: Vec::new(),
                late: LateLines::off(),
                late_override: None,
                reverting: false,
                captures: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Returns the decision for a level that is written for all targets or for none; `None` if targets differ.
    #[inline]
    pub(crate) fn decided(&self, level: Level) -> Option<bool> {
        let level_bounds = self.level_bounds.load(Relaxed);
        let level = level as u16;
        if level < level_bounds & 0xff {
            Some(false)
        } else if level >= level_bounds >> 8 {
            Some(true)
        } else {
            None
        }
    }

    /// Returns `true` if a line of this level could be written for some target.
    #[inline]
    pub(crate) fn may_be_enabled(&self, level: Level) -> bool {
        level as u16 >= self.level_bounds.load(Relaxed) & 0xff
    }

    pub(crate) fn threshold(&self, target: &str, other: Option<&str>) -> Threshold {
        let filter = self.filter.load();
        let Some(filter) = filter.as_ref() else {
            return Threshold::from(Level::Info);
        };
        filter
            .directive(target)
            .or_else(|| filter.directive(other?))
            .map_or(filter.base, |(_, threshold)| threshold)
    }

    /// Returns length and level of the directive that applies to a target; `None` if the base level applies.
    pub(crate) fn named(&self, target: &str) -> Option<(usize, Threshold)> {
        let filter = self.filter.load();
        let (prefix, threshold) = filter.as_ref()?.directive(target)?;
        Some((prefix.len(), threshold))
    }

    /// Returns the level of targets without a level of their own.
    pub(crate) fn base(&self) -> Level {
        let filter = self.filter.load();
        let base = filter
            .as_ref()
            .map_or(Threshold::from(Level::Info), |filter| filter.base);
        base.level().unwrap_or(Level::Critical)
    }

    /// Returns the most verbose level of any target.
    pub(crate) fn most_verbose(&self) -> Option<Level> {
        Threshold((self.level_bounds.load(Relaxed) & 0xff) as u8).level()
    }

    /// Returns `true` if the context of a line matters too: because it is captured, or belongs to a request.
    pub(crate) fn asks_context(&self) -> bool {
        self.keeps_late() || self.state.lock().captures > 0
    }

    /// Returns `true` if lines are kept for requests.
    #[inline]
    pub(crate) fn keeps_late(&self) -> bool {
        self.keeps_late.load(Relaxed)
    }

    /// Returns the setting for requests that start now.
    #[inline]
    pub(crate) fn late(&self) -> Option<Arc<LateLines>> {
        if self.keeps_late() {
            self.late.load_full()
        } else {
            None
        }
    }

    /// Replaces the configuration. Returns the temporary changes that end with it.
    pub(crate) fn configure(
        &self,
        filter: Filter,
        of_outputs: Vec<Filter>,
        late: LateLines,
    ) -> Vec<Reverted> {
        let mut state = self.state.lock();
        state.of_outputs = of_outputs;
        state.configured = Some(filter);
        let overrides = std::mem::take(&mut state.overrides);
        state.late = late;
        let late = state.late_override.take();
        self.apply(&state);
        self.changed.notify_all();
        let late = late.map(|change| Reverted::Late(change, state.late.clone()));
        let levels = overrides.into_iter().map(|change| {
            let now = self.threshold(&change.target, None).as_str();
            Reverted::Level(change, now)
        });
        levels.chain(late).collect()
    }

    pub(crate) fn capture(&self, begin: bool) {
        let mut state = self.state.lock();
        state.captures = if begin {
            state.captures + 1
        } else {
            state.captures.saturating_sub(1)
        };
        self.apply(&state);
    }

    /// Changes a level for a while; returns the change, and `true` if a thread must be started
    /// that reverts it. `None` if the levels of [`MAX_LEVEL_CHANGES`] other targets are changed.
    pub(crate) fn set_override(&self, mut change: Override) -> Option<(Override, bool)> {
        let mut state = self.state.lock();
        change.before = self.threshold(&change.target, None).as_str();
        let mut known = state.overrides.iter();
        match known.position(|other| is_same(&other.target, &change.target)) {
            Some(known) => state.overrides[known] = change.clone(),
            None if state.overrides.len() >= MAX_LEVEL_CHANGES => return None,
            None => state.overrides.push(change.clone()),
        }
        self.apply(&state);
        self.changed.notify_all();
        let start = !std::mem::replace(&mut state.reverting, true);
        Some((change, start))
    }

    /// Changes for a while which lines are kept for requests; returns the previous
    /// setting, and `true` if a thread must be started that reverts the change.
    pub(crate) fn set_late(&self, change: LateOverride) -> (LateLines, bool) {
        let mut state = self.state.lock();
        let before = state.late_now().clone();
        state.late_override = Some(change);
        self.apply(&state);
        self.changed.notify_all();
        let start = !std::mem::replace(&mut state.reverting, true);
        (before, start)
    }

    /// Ends a change of the late lines now; returns `false` if there is none.
    pub(crate) fn end_late(&self) -> bool {
        let mut state = self.state.lock();
        let Some(change) = &mut state.late_override else {
            return false;
        };
        change.until = Instant::now();
        self.changed.notify_all();
        true
    }

    /// Removes a change whose thread could not be started: of a target, or of the late lines.
    pub(crate) fn forget(&self, target: Option<&str>) {
        let mut state = self.state.lock();
        match target {
            Some(target) => state
                .overrides
                .retain(|change| !is_same(&change.target, target)),
            None => state.late_override = None,
        }
        state.reverting = false;
        self.apply(&state);
    }

    /// Ends an override now; returns `false` if there is none. The thread that waits for its end reverts it.
    pub(crate) fn end_override(&self, target: &str) -> bool {
        let mut state = self.state.lock();
        let mut overrides = state.overrides.iter_mut();
        let Some(change) = overrides.find(|change| is_same(&change.target, target)) else {
            return false;
        };
        change.until = Instant::now();
        self.changed.notify_all();
        true
    }

    /// Waits until a change ends and reverts it; `None` if no change is left.
    pub(crate) fn next_reverted(&self) -> Option<Reverted> {
        let mut state = self.state.lock();
        loop {
            let of_late = state.late_override.as_ref().map(|change| change.until);
            let ends = state.overrides.iter().map(|change| change.until);
            let Some(next) = ends.chain(of_late).min() else {
                state.reverting = false;
                return None;
            };
            if next > Instant::now() {
                self.changed.wait_until(&mut state, next);
                continue;
            }
            if of_late == Some(next) {
                let change = state.late_override.take()?;
                self.apply(&state);
                return Some(Reverted::Late(change, state.late.clone()));
            }
            let mut overrides = state.overrides.iter();
            let at = overrides.position(|change| change.until == next)?;
            let change = state.overrides.remove(at);
            self.apply(&state);
            let now = self.threshold(&change.target, None).as_str();
            return Some(Reverted::Level(change, now));
        }
    }

    fn apply(&self, state: &State) {
        let changes = state.overrides.iter();
        let changes = changes.map(|over| (over.target.as_str(), Threshold::from(over.level)));
        let filter = match &state.configured {
            Some(configured) => configured.overridden(changes),
            None => Filter::new(Level::Info).overridden(changes),
        };
        let late = state.late_now();
        let most_verbose = if state.captures > 0 {
            Threshold(0)
        } else {
            let of_others = state.of_outputs.iter().chain(&late.filter);
            let of_others = of_others.map(Filter::most_verbose);
            of_others.fold(filter.most_verbose(), Ord::min)
        };
        let most_severe = if state.captures > 0 {
            Threshold::OFF
        } else {
            let of_outputs = state.of_outputs.iter().map(Filter::most_severe);
            of_outputs.fold(filter.most_severe(), Ord::max)
        };
        let keeps_late = late.filter.is_some();
        self.late.store(keeps_late.then(|| Arc::new(late.clone())));
        self.keeps_late.store(keeps_late, Relaxed);
        self.filter.store(Some(Arc::new(filter)));
        self.level_bounds
            .store(level_bounds(most_verbose, most_severe), Relaxed);
    }

    /// Returns all levels in effect, the base level first.
    pub(crate) fn rules(&self) -> Vec<LevelRule> {
        let state = self.state.lock();
        let filter = self.filter.load();
        let Some(filter) = filter.as_ref() else {
            return vec![rule("", Threshold::from(Level::Info), &state)];
        };
        let base = rule("", filter.base, &state);
        let targets = filter.directives().iter();
        std::iter::once(base)
            .chain(targets.map(|(target, threshold)| rule(target, *threshold, &state)))
            .collect()
    }
}

impl State {
    fn late_now(&self) -> &LateLines {
        let change = self.late_override.as_ref();
        change.map_or(&self.late, |change| &change.late)
    }
}

fn rule(target: &str, threshold: Threshold, state: &State) -> LevelRule {
    let change = state
        .overrides
        .iter()
        .find(|change| is_same(&change.target, target));
    LevelRule {
        target: target.to_owned(),
        level: threshold.level(),
        temporary: change.map(|change| Temporary {
            remaining: change.until.saturating_duration_since(Instant::now()),
            who: change.who.clone(),
            why: change.why.clone(),
        }),
    }
}
