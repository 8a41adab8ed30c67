pub(crate) mod active;
mod applied;
pub(crate) mod capture_logs;
pub(crate) mod late;
mod level_change;
pub(crate) mod limiter;
pub(crate) mod line_log;
pub(crate) mod reentry;
pub(crate) mod ring;
pub(crate) mod stats;
pub(crate) mod tap;
pub(crate) mod trace_ids;
pub(crate) mod trace_sampling;

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::ReentrantMutex;

use crate::context;
use crate::context::capture::Capture;
use crate::context::late::LateTotals;
use crate::level::levels::{Levels, Reverted};
use crate::output::health::OutputHealth;
use crate::output::notice::scrub;
use crate::pipeline::active::ActiveConfig;
use crate::pipeline::applied::Applied;
use crate::pipeline::limiter::{Limiter, Verdict};
use crate::pipeline::line_log::LineLog;
use crate::pipeline::ring::RecentLines;
use crate::pipeline::trace_sampling::TraceSampling;
use crate::redact::{self, deny};
use crate::render::bound::BoundFields;
use crate::render::head::RecordMeta;
use crate::render::line::Line;
use crate::render::line_buffers::{LineBuffers, with_buffers};
use crate::render::losses::Counters;
use crate::{Config, Error, Filter, LateLines, Level, LevelRule, Stats};

/// All steps from a record to its outputs: [`init`](crate::init)
/// configures the global one, tests may create their own.
///
/// ```
/// use ops_log::{Config, Level, Pipeline};
///
/// let pipeline = Pipeline::new(Config::new().stdout(false).level(Level::Debug))?;
/// let log = pipeline.logger("tests");
/// ops_log::debug!(log, "hello", n = 1);
/// assert!(pipeline.recent(1)[0].ends_with(r#""logger":"tests","event":"hello","n":1}"#));
/// # Ok::<(), ops_log::Error>(())
/// ```
#[derive(Clone)]
pub struct Pipeline(pub(crate) PipelineRef);

/// The global pipeline, or a separate one.
#[derive(Clone)]
pub(crate) enum PipelineRef {
    Global,
    Own(Arc<State>),
}

pub(crate) struct State {
    pub(crate) levels: Levels,
    active: Applied,
    pub(crate) counters: Counters,
    line_log: LineLog,
    late: LazyLock<Arc<LateTotals>>,
    /// Held while a level is changed and the change is logged, so that its end is logged afterwards.
    reporting: ReentrantMutex<()>,
}

/// Time that the end of a process waits for pending writes.
pub(crate) const FLUSH_BUDGET: Duration = Duration::from_secs(1);

/// Hook for the bridge, which caches the global levels.
static LEVELS_CHANGED: OnceLock<fn()> = OnceLock::new();

/// Sets the hook that is called after each change of a global level.
pub(crate) fn on_levels_changed(hook: fn()) {
    // the only bridge sets the only hook
    let _ = LEVELS_CHANGED.set(hook);
}

/// State configured by [`init`](crate::init).
pub(crate) static GLOBAL: State = State::new();

impl Deref for PipelineRef {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        match self {
            Self::Global => &GLOBAL,
            Self::Own(state) => state,
        }
    }
}

impl State {
    const fn new() -> Self {
        Self {
            levels: Levels::new(),
            active: Applied::new(),
            counters: Counters::new(),
            line_log: LineLog::new(),
            late: LazyLock::new(Arc::default),
            reporting: ReentrantMutex::new(()),
        }
    }

    /// Returns the level changes that end with the previous configuration.
    fn configure(&self, config: &Config) -> Result<Vec<Reverted>, Error> {
        let active = ActiveConfig::open(config)?;
        self.line_log.resize(config.recent);
        let of_outputs = active.outputs.filters().cloned().collect();
        let before = self.active.replace(active);
        let late = config.late_lines.clone();
        let reverted = self
            .levels
            .configure(config.filter.clone(), of_outputs, late);
        self.active.close(before);
        Ok(reverted)
    }

    /// Renders a line and passes it to every output. Never fails: lines that cannot be written are counted.
    pub(crate) fn write(
        &self,
        meta: &RecordMeta<'_>,
        bound: &[&Arc<BoundFields>],
        fill: &mut dyn FnMut(&mut Line<'_>),
    ) {
        self.write_by(meta, bound, fill, true);
    }

    /// Writes a line within a panic. Code of the application is
    /// not called: if it panicked now, the process would abort.
    pub(crate) fn write_panic(&self, meta: &RecordMeta<'_>, fill: &mut dyn FnMut(&mut Line<'_>)) {
        self.write_by(meta, &[], fill, false);
    }

    /// Returns `true` if an output runs code of the application.
    pub(crate) fn runs_application_code(&self) -> bool {
        let run = |active: &ActiveConfig| active.outputs.run_application_code();
        self.active.with(run).unwrap_or_default()
    }

    fn write_by(
        &self,
        meta: &RecordMeta<'_>,
        bound: &[&Arc<BoundFields>],
        fill: &mut dyn FnMut(&mut Line<'_>),
        may_call_application: bool,
    ) {
        let written = with_buffers(|buffers| {
            self.active.with(|active| {
                self.write_to(active, buffers, meta, bound, fill, may_call_application)
            })
        });
        if written.flatten().is_none() {
            self.line_log.count(0, meta.level, false);
        }
    }

    #[inline(always)]
    fn write_to(
        &self,
        active: &ActiveConfig,
        buffers: &mut LineBuffers,
        meta: &RecordMeta<'_>,
        bound: &[&Arc<BoundFields>],
        fill: &mut dyn FnMut(&mut Line<'_>),
        may_call_application: bool,
    ) {
        let at = active.now(may_call_application);
        if self.levels.keeps_late() && self.keep(buffers, active, meta, bound, fill) {
            return;
        }
        if let Some(sampling) = &active.sampling
            && !self.sampled(sampling, meta, bound)
        {
            return self.line_log.count_unsampled(buffers.thread);
        }
        let suppressed = match &active.limiter {
            None => 0,
            Some(limiter) => match self.limited(limiter, meta, active, at, buffers.thread) {
                Verdict::Write(suppressed) => suppressed,
                Verdict::Suppress => return,
            },
        };
        let mut line = Line::begin(buffers, &active.format, &self.counters, at, meta);
        let capture = bind_all(&mut line, active, bound, may_call_application);
        line.fill(fill);
        if active.call_site {
            line.call_site(meta);
        }
        if suppressed > 0 {
            line.suppressed(suppressed);
        }
        let event_span = line.end();
        if let Some(capture) = capture {
            scrub(buffers, &active.format);
            return capture.keep(buffers.json());
        }
        let logger = meta.logger.unwrap_or(&active.service);
        let notices = active.notices(at);
        // an output that logs while it writes would deadlock
        let delivered = reentry::guarded(|| {
            let outputs = &active.outputs;
            let is_wanted = |filter: Option<&Filter>| self.is_wanted(meta, logger, filter);
            outputs.deliver(
                buffers,
                &event_span,
                meta.level,
                logger,
                &notices,
                &is_wanted,
            )
        });
        let taken = match delivered {
            Some(Some(taken)) => taken,
            Some(None) => {
                let is_wanted = |active: &ActiveConfig, filter: Option<&Filter>| {
                    self.is_wanted(meta, meta.logger.unwrap_or(&active.service), filter)
                };
                return self.hand_over(buffers, meta.level, may_call_application, &is_wanted);
            }
            None => {
                // outputs redact what they write, but this line reached none
                scrub(buffers, &active.format);
                false
            }
        };
        if may_call_application {
            self.show(at, buffers);
        }
        self.note(buffers, meta.level, taken);
    }

    /// Passes a rendered line to the applied configuration, and to its successors if that is closed meanwhile.
    #[cold]
    fn hand_over(
        &self,
        buffers: &mut LineBuffers,
        level: Level,
        may_call_application: bool,
        is_wanted: &dyn Fn(&ActiveConfig, Option<&Filter>) -> bool,
    ) {
        loop {
            let handed = self.active.with(|active| {
                // a secret may have been registered meanwhile
                scrub(buffers, &active.format);
                let at = active.now(may_call_application);
                let notices = active.notices(at);
                let delivered = reentry::guarded(|| {
                    let is_wanted = |filter: Option<&Filter>| is_wanted(active, filter);
                    (active.outputs).hand_over(buffers, level, &notices, &is_wanted)
                });
                if delivered == Some(None) {
                    return false;
                }
                if may_call_application {
                    self.show(at, buffers);
                }
                self.note(buffers, level, delivered.flatten().unwrap_or(false));
                true
            });
            match handed {
                Some(true) => return,
                Some(false) => {}
                None => return self.line_log.count(buffers.thread, level, false),
            }
        }
    }

    /// Shows a line of the global pipeline to the tap, if there is one.
    #[inline(always)]
    fn show(&self, at: SystemTime, buffers: &LineBuffers) {
        if tap::is_set() {
            self.show_to_tap(at, buffers);
        }
    }

    #[inline(never)]
    fn show_to_tap(&self, at: SystemTime, buffers: &LineBuffers) {
        if std::ptr::eq(self, &raw const GLOBAL) {
            reentry::guarded(|| tap::show(at, buffers.json()));
        }
    }

    /// Counts a line that was passed to the outputs, and keeps it among the recent ones.
    #[inline(always)]
    fn note(&self, buffers: &mut LineBuffers, level: Level, taken: bool) {
        let (line, warnings) = (&mut buffers.fields.json, &mut buffers.warnings);
        self.line_log
            .note(buffers.thread, level, taken, line, warnings);
    }

    /// Returns `true` if the trace of a line is sampled, or sampling does
    /// not apply: to warnings and above, and to this crate's own reports.
    #[cold]
    fn sampled(
        &self,
        sampling: &TraceSampling,
        meta: &RecordMeta<'_>,
        bound: &[&Arc<BoundFields>],
    ) -> bool {
        if meta.always || meta.level >= Level::Warning {
            return true;
        }
        let of_context = context::with_current(|context| {
            let is_written = context.late.as_ref().is_some_and(|late| late.is_written());
            (context.bound.clone(), is_written)
        });
        let (context, is_written) = of_context.unwrap_or_default();
        // the access line belongs to the late lines that were written before it
        is_written || sampling.keeps(bound, context.as_deref())
    }

    /// Applies the rate limits, and counts a line that exceeds them.
    #[cold]
    fn limited(
        &self,
        limiter: &Limiter,
        meta: &RecordMeta<'_>,
        active: &ActiveConfig,
        at: SystemTime,
        thread: usize,
    ) -> Verdict {
        let verdict = limiter.decide(meta, meta.logger.unwrap_or(&active.service), at);
        if verdict == Verdict::Suppress {
            self.line_log.count_suppressed(thread);
        }
        verdict
    }

    /// Returns `true` if lines of this level are written, by their target and an optional second name.
    #[inline]
    pub(crate) fn enabled(&self, level: Level, target: &str, other: Option<&str>) -> bool {
        self.levels
            .decided(level)
            .unwrap_or_else(|| self.looked_up(level, target, other))
    }

    #[cold]
    fn looked_up(&self, level: Level, target: &str, other: Option<&str>) -> bool {
        context::is_captured()
            || self.is_kept(level, target, other)
            || self.levels.threshold(target, other).passes(level)
            || self.active.load().as_ref().is_some_and(|active| {
                let mut filters = active.outputs.filters();
                filters.any(|filter| filter.passes(level, target, other))
            })
    }

    /// Decides for one output, if outputs have their own filters; `None` stands for the filter of the configuration.
    #[cold]
    fn is_wanted(&self, meta: &RecordMeta<'_>, logger: &str, filter: Option<&Filter>) -> bool {
        if meta.always {
            return true;
        }
        // same order as in `enabled`: the root logger uses the module, then the service's name
        let (target, other) = match (meta.logger, meta.module) {
            (None, Some(module)) => (module, Some(logger)),
            (_, module) => (logger, module),
        };
        match filter {
            Some(filter) => filter.passes(meta.level, target, other),
            None => self.levels.threshold(target, other).passes(meta.level),
        }
    }

    pub(crate) fn service_is(&self, test: impl FnOnce(Option<&str>) -> bool) -> bool {
        test(
            self.active
                .load()
                .as_ref()
                .map(|active| active.service.as_str()),
        )
    }

    /// Waits for pending lines, also to outputs of an earlier configuration; returns `false` on timeout.
    pub(crate) fn flush(&self, budget: Duration) -> bool {
        let started = Instant::now();
        let is_flushed = self.active.load().as_ref().is_none_or(|active| {
            let notices = active.notices(SystemTime::now());
            // it runs a writer of the application, whose own lines would wait for the lock that it holds
            reentry::guarded(|| active.outputs.flush(budget, &notices)).unwrap_or(false)
        });
        let left = budget.saturating_sub(started.elapsed());
        self.active.wait_for_closings(left) && is_flushed
    }

    pub(crate) fn stats(&self) -> Stats {
        self.line_log.counts().stats(&self.counters, &self.late)
    }

    pub(crate) fn output_health(&self) -> Vec<OutputHealth> {
        let active = self.active.load();
        active
            .as_ref()
            .map_or_else(Vec::new, |active| active.outputs.health())
    }

    pub(crate) fn recent(&self, lines: usize) -> Vec<String> {
        self.line_log.newest(lines)
    }

    pub(crate) fn recent_after(&self, number: u64) -> RecentLines {
        self.line_log.after(number)
    }
}

/// Adds all bound fields; returns the capture of the line, if there is one.
#[inline(always)]
fn bind_all(
    line: &mut Line<'_>,
    active: &ActiveConfig,
    bound: &[&Arc<BoundFields>],
    may_call_application: bool,
) -> Option<Arc<Capture>> {
    if let Some(globals) = &active.globals {
        line.bound(globals);
    }
    let capture = context::with_current(|context| {
        if let Some(context) = &context.bound {
            line.bound(context);
        }
        context.capture.clone()
    });
    for layer in bound {
        line.bound(layer);
    }
    if may_call_application {
        trace_ids::with_current(|ids| line.trace_ids(&ids.trace_id, &ids.span_id));
    }
    capture.flatten()
}

impl PipelineRef {
    pub(crate) fn configure(&self, config: &Config) -> Result<(), Error> {
        let _reporting = self.reporting.lock();
        let reverted = self.deref().configure(config)?;
        if matches!(self, Self::Global) {
            deny::set_current(config.deny_list());
            redact::outdate();
        }
        self.levels_changed();
        for change in reverted {
            self.log_reverted(change);
        }
        Ok(())
    }
}

impl Pipeline {
    /// Creates a separate pipeline. It installs neither bridges nor hooks.
    ///
    /// # Errors
    ///
    /// Fails like [`init`](crate::init).
    pub fn new(config: Config) -> Result<Self, Error> {
        let state = Arc::new(State::new());
        let config = config.checked()?;
        state.configure(&config)?;
        Ok(Self(PipelineRef::Own(state)))
    }

    /// Returns the global pipeline.
    pub fn global() -> Self {
        Self(PipelineRef::Global)
    }

    /// Replaces the configuration: existing loggers follow at once.
    ///
    /// # Errors
    ///
    /// Fails like [`init`](crate::init); the previous configuration stays in effect.
    pub fn configure(&self, config: Config) -> Result<(), Error> {
        self.0.configure(&config.checked()?)
    }

    /// Changes a level for a while, see [`set_level`](crate::set_level).
    ///
    /// # Errors
    ///
    /// Fails like [`set_level`](crate::set_level).
    pub fn set_level(
        &self,
        target: &str,
        level: Level,
        ttl: impl Into<Option<Duration>>,
        who: &str,
        why: &str,
    ) -> Result<(), Error> {
        self.0.set_level(target, level, ttl.into(), who, why)
    }

    /// Returns every level in effect, see [`levels`](crate::levels).
    pub fn levels(&self) -> Vec<LevelRule> {
        self.0.levels.rules()
    }

    /// Reverts the change of a level, see [`revert_level`](crate::revert_level).
    pub fn revert_level(&self, target: &str) -> bool {
        self.0.revert_level(target)
    }

    /// Changes which lines are kept for requests, see [`set_late_lines`](crate::set_late_lines).
    ///
    /// # Errors
    ///
    /// Fails like [`set_late_lines`](crate::set_late_lines).
    pub fn set_late_lines(
        &self,
        late: LateLines,
        ttl: impl Into<Option<Duration>>,
        who: &str,
        why: &str,
    ) -> Result<(), Error> {
        self.0.set_late_lines(late, ttl.into(), who, why)
    }

    /// Reverts a change of the late lines, see [`revert_late_lines`](crate::revert_late_lines).
    pub fn revert_late_lines(&self) -> bool {
        self.0.levels.end_late()
    }

    /// Returns the counts of its lines so far.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Returns the state of each output, see [`output_health`](crate::output_health).
    pub fn output_health(&self) -> Vec<OutputHealth> {
        self.0.output_health()
    }

    /// Returns its newest lines as JSON, oldest first.
    pub fn recent(&self, lines: usize) -> Vec<String> {
        self.0.recent(lines)
    }

    /// Returns the lines after the one with this number, see [`recent_after`](crate::recent_after).
    pub fn recent_after(&self, number: u64) -> RecentLines {
        self.0.recent_after(number)
    }

    /// Waits up to `budget` for pending writes; returns `false` on timeout.
    pub fn flush(&self, budget: Duration) -> bool {
        self.0.flush(budget)
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").finish_non_exhaustive()
    }
}
