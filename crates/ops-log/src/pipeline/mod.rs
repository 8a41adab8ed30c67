pub(crate) mod active;
pub(crate) mod capture_logs;
pub(crate) mod reentry;
pub(crate) mod ring;
pub(crate) mod stats;
pub(crate) mod trace_ids;

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, ReentrantMutex};

use crate::context;
use crate::level::levels::{Change, Levels};
use crate::output::outputs::scrub;
use crate::pipeline::active::Core;
use crate::pipeline::stats::Told;
use crate::redact::deny::{self, DenyList};
use crate::render::bound::Snapshot;
use crate::render::head::Head;
use crate::render::line::Line;
use crate::render::losses::Counters;
use crate::render::scratch::with_scratch;
use crate::{Config, Error, LEVEL_TTL, Level, LevelRule, MAX_LEVEL_TTL, Stats};

/// From a record to its outputs: what [`init`](crate::init) sets up for the process, and a test for itself.
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
pub struct Pipeline(pub(crate) Handle);

/// The process's pipeline, or one of its own.
#[derive(Clone)]
pub(crate) enum Handle {
    Global,
    Own(Arc<Engine>),
}

pub(crate) struct Engine {
    pub(crate) levels: Levels,
    core: ArcSwapOption<Core>,
    pub(crate) counters: Counters,
    told: Mutex<Told>,
    /// Held while a change of level is made and told, so that its end is told after it.
    telling: ReentrantMutex<()>,
}

/// How long the end of a process waits for lines that are on their way.
pub(crate) const FLUSH_BUDGET: Duration = Duration::from_secs(1);

/// Others who remember what they were told about the levels of the process.
static LEVELS_CHANGED: OnceLock<fn()> = OnceLock::new();

/// Calls this whenever a level of the process changed.
pub(crate) fn on_levels_changed(hook: fn()) {
    // there is one bridge, and so one hook
    let _ = LEVELS_CHANGED.set(hook);
}

/// What [`init`](crate::init) configures.
pub(crate) static GLOBAL: Engine = Engine::new();

/// Before that: lines for people on stdout.
static UNCONFIGURED: LazyLock<Option<Arc<Core>>> =
    LazyLock::new(|| Core::open(&Config::default()).ok().map(Arc::new));

impl Deref for Handle {
    type Target = Engine;

    #[inline]
    fn deref(&self) -> &Engine {
        match self {
            Self::Global => &GLOBAL,
            Self::Own(engine) => engine,
        }
    }
}

impl Engine {
    const fn new() -> Self {
        Self {
            levels: Levels::new(),
            core: ArcSwapOption::const_empty(),
            counters: Counters::new(),
            told: Mutex::new(Told::new()),
            telling: ReentrantMutex::new(()),
        }
    }

    fn configure(&self, config: &Config) -> Result<(), Error> {
        let core = Core::open(config)?;
        self.told.lock().recent.resize(core.recent);
        self.core.store(Some(Arc::new(core)));
        self.levels.configure(config.filter.clone());
        Ok(())
    }

    /// Renders one line and hands it to every output. Never fails: what cannot be written is counted.
    pub(crate) fn write(
        &self,
        head: &Head<'_>,
        bound: &[&Arc<Snapshot>],
        fill: &mut dyn FnMut(&mut Line<'_>),
    ) {
        let loaded = self.core.load();
        let Some(core) = loaded.as_ref().or(UNCONFIGURED.as_ref()) else {
            return self.told.lock().count(false);
        };
        let written = with_scratch(|scratch| {
            let mut line = Line::begin(scratch, &core.format, &self.counters, core.now(), head);
            if let Some(globals) = &core.globals {
                line.bound(globals);
            }
            let capture = context::with_current(|context| {
                if let Some(context) = &context.bound {
                    line.bound(context);
                }
                context.capture.clone()
            });
            for snapshot in bound {
                line.bound(snapshot);
            }
            trace_ids::with_current(|ids| line.trace_ids(&ids.trace_id, &ids.span_id));
            line.fill(fill);
            let layout = line.end();
            if let Some(capture) = capture.flatten() {
                return capture.keep(scratch.json());
            }
            // an output that logs while it writes would wait for itself
            let logger = head.logger.unwrap_or(&core.service);
            let taken =
                reentry::guarded(|| core.outputs.deliver(scratch, &layout, head.level, logger));
            if taken.is_none() {
                // no output took it, and none has scrubbed it
                scrub(scratch);
            }
            let mut told = self.told.lock();
            told.count(taken.unwrap_or(false));
            told.recent.push(&mut scratch.fields.json, core.recent);
        });
        if written.is_none() {
            self.told.lock().count(false);
        }
    }

    /// Whether lines of this level are written, for a target's name and, where it has one, a second name.
    #[inline]
    pub(crate) fn enabled(&self, level: Level, target: &str, other: Option<&str>) -> bool {
        self.levels
            .decided(level)
            .unwrap_or_else(|| self.looked_up(level, target, other))
    }

    #[cold]
    fn looked_up(&self, level: Level, target: &str, other: Option<&str>) -> bool {
        context::is_captured() || self.levels.threshold(target, other).passes(level)
    }

    pub(crate) fn service_is(&self, test: impl FnOnce(Option<&str>) -> bool) -> bool {
        test(self.core.load().as_ref().map(|core| core.service.as_str()))
    }

    pub(crate) fn flush(&self, budget: Duration) -> bool {
        self.core
            .load()
            .as_ref()
            .is_none_or(|core| core.outputs.flush(budget))
    }

    pub(crate) fn stats(&self) -> Stats {
        self.told.lock().stats(&self.counters)
    }

    pub(crate) fn recent(&self, lines: usize) -> Vec<String> {
        self.told.lock().recent.newest(lines)
    }
}

impl Handle {
    pub(crate) fn configure(&self, config: &Config) -> Result<(), Error> {
        self.deref().configure(config)?;
        if matches!(self, Self::Global) {
            let denied = config.denied.iter().map(String::as_str);
            deny::set_current(DenyList::new(denied));
        }
        self.levels_changed();
        Ok(())
    }

    pub(crate) fn set_level(
        &self,
        target: &str,
        level: Level,
        ttl: Option<Duration>,
        who: &str,
        why: &str,
    ) -> Result<(), Error> {
        let ttl = ttl.unwrap_or(LEVEL_TTL).min(MAX_LEVEL_TTL);
        let _telling = self.telling.lock();
        let (change, start) = self.levels.change(Change {
            target: target.to_owned(),
            level,
            before: "",
            until: Instant::now() + ttl,
            who: who.to_owned(),
            why: why.to_owned(),
        });
        if start {
            let handle = self.clone();
            std::thread::Builder::new()
                .name("ops-log-level".to_owned())
                .spawn(move || handle.revert_levels())
                .map_err(|error| {
                    self.levels.forget(target);
                    Error::Revert(error)
                })?;
        }
        self.levels_changed();
        self.tell(
            "log_level_changed",
            &change,
            level.as_str(),
            Some(ttl.as_secs_f64()),
        );
        Ok(())
    }

    fn revert_levels(&self) {
        while let Some((change, now)) = self.levels.next_reverted() {
            let _telling = self.telling.lock();
            self.levels_changed();
            let over = Change {
                before: change.level.as_str(),
                ..change
            };
            self.tell("log_level_reverted", &over, now, None);
        }
    }

    /// Others remember what they were told about levels.
    pub(crate) fn levels_changed(&self) {
        if matches!(self, Self::Global) {
            if let Some(hook) = LEVELS_CHANGED.get() {
                hook();
            }
        }
    }

    /// A line whatever the level is: who reads the log has to know why there is more or less of it.
    fn tell(&self, event: &str, change: &Change, to: &str, ttl_seconds: Option<f64>) {
        let target = if change.target.is_empty() {
            "*"
        } else {
            &change.target
        };
        let head = Head {
            level: Level::Warning,
            logger: Some("ops_log"),
            event: &event,
        };
        self.write(&head, &[], &mut |line| {
            line.field("target", |line| line.text(target));
            line.field("from", |line| line.text(change.before));
            line.field("to", |line| line.text(to));
            if let Some(seconds) = ttl_seconds {
                line.field("ttl_seconds", |line| {
                    crate::render::scalars::float(seconds, line.json())
                });
            }
            line.field("who", |line| line.text(&change.who));
            line.field("why", |line| line.text(&change.why));
        });
    }
}

impl Pipeline {
    /// A pipeline that nobody else writes to. It neither installs bridges nor hooks.
    ///
    /// # Errors
    ///
    /// As [`init`](crate::init).
    pub fn new(config: Config) -> Result<Self, Error> {
        let engine = Arc::new(Engine::new());
        let config = config.checked()?;
        engine.configure(&config)?;
        Ok(Self(Handle::Own(engine)))
    }

    /// The pipeline of the process.
    pub fn global() -> Self {
        Self(Handle::Global)
    }

    /// Changes how lines are written: existing loggers follow at once.
    ///
    /// # Errors
    ///
    /// As [`init`](crate::init); the configuration before stays.
    pub fn configure(&self, config: Config) -> Result<(), Error> {
        self.0.configure(&config.checked()?)
    }

    /// As [`set_level`](crate::set_level).
    ///
    /// # Errors
    ///
    /// As [`set_level`](crate::set_level).
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

    /// As [`levels`](crate::levels).
    pub fn levels(&self) -> Vec<LevelRule> {
        self.0.levels.rules()
    }

    /// What happened to its lines so far.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Its newest lines as JSON, oldest first.
    pub fn recent(&self, lines: usize) -> Vec<String> {
        self.0.recent(lines)
    }

    /// Waits for lines that are on their way; false where they took longer.
    pub fn flush(&self, budget: Duration) -> bool {
        self.0.flush(budget)
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").finish_non_exhaustive()
    }
}
