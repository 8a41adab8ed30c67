use std::fmt;
use std::path::{Path, PathBuf};
#[cfg(feature = "serve")]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use crate::config::Observed;
use crate::error::chain;
use crate::findings::snapshot::{Heartbeat, Snapshot};
use crate::findings::watch::Watch;
use crate::findings::{disk, is_production};
use crate::{Config, Error, Finding, features, glue, variables};

/// Time limit for writing the last lines of a refused start.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// Share of the shutdown budget, and its maximum, that is reserved
/// for the last lines, even if a collector does not respond.
const LAST_LINES_SHARE: u32 = 5;
const LAST_LINES: Duration = Duration::from_secs(1);

/// Running operations layer. Cheap to clone; call [`shutdown`](Self::shutdown) once at the end.
#[derive(Clone)]
pub struct Ops {
    parts: Arc<Parts>,
}

struct Parts {
    service: String,
    observers: Observed,
    /// Version and commit of the program.
    #[cfg(all(feature = "admin", feature = "serve"))]
    build: Option<[&'static str; 2]>,
    log: glue::log::Log,
    black_box: glue::black_box::Part,
    history: glue::history::Part,
    trace: glue::trace::Trace,
    secrets: glue::secrets::Part,
    cache: glue::cache::Part,
    #[cfg(all(feature = "admin", feature = "serve"))]
    overruled: Vec<(&'static str, String)>,
    /// Directories that are written to.
    dirs: Vec<PathBuf>,
    is_production: bool,
    watch: OnceLock<Watch>,
    /// Number of services and jobs that began on it and were not refused.
    #[cfg(feature = "serve")]
    began: AtomicUsize,
}

/// Starts every part that is compiled in and connects them: logging first,
/// so that the others can log, then secrets, traces, metrics, cache.
///
/// Does not wait for the network, except for the key of a bucket in the section `shared` of
/// cache.yaml: a collector or AWS that does not respond is noticed later, off the request path.
///
/// # Errors
///
/// Fails if a setting is invalid, a directory is unusable, or a part was started before: `init` runs once,
/// before the first `get_secret` and `get_cache`. The message names the part. A second call does not affect the
/// running parts. After a call that failed at the configuration, logging or secrets, it may be called again.
pub fn init(config: Config) -> Result<Ops, Error> {
    // before logging is configured again: the running parts keep their lines
    if STARTED.swap(true, Ordering::AcqRel) {
        let why = match FAILED_LATE.load(Ordering::Acquire) {
            true => AFTER_FAILURE,
            false => TWICE,
        };
        let error = Error::new("init", why);
        log_start_refused(&error);
        return Err(error);
    }
    let claim = Claim;
    crate::stop::watch_early();
    let started = start_once(config);
    let is_late = started.as_ref().is_err_and(leaves_parts);
    if is_late {
        FAILED_LATE.store(true, Ordering::Release);
    }
    if started.is_ok() || is_late {
        std::mem::forget(claim);
    }
    started
}

/// Returns whether parts that start once per process had started before the one that failed.
fn leaves_parts(error: &Error) -> bool {
    let (secrets, trace) = (cfg!(feature = "secrets"), cfg!(feature = "trace"));
    match error.part() {
        "trace" => secrets,
        "metrics" => secrets || trace,
        "cache" | "findings" => secrets || trace || cfg!(feature = "metrics"),
        _ => false,
    }
}

/// Allows another call of [`init`], unless this one succeeds or leaves started parts behind.
struct Claim;

impl Drop for Claim {
    fn drop(&mut self) {
        STARTED.store(false, Ordering::Release);
    }
}

fn start_once(config: Config) -> Result<Ops, Error> {
    let mut config = config.with_file()?;
    // one name for lines, spans and pages
    config.service_name = glue::trace::service_name(&config.service_name);
    glue::trace::follow_tracing();
    let black_box = glue::black_box::Part::start(config.black_box.as_ref(), &config.service_name);
    let history = glue::history::Part::start(config.history.as_ref(), &config.service_name);
    // a refused start is not a crash, and its lines are kept
    let (box_of_start, history_of_start) = (black_box.clone(), history.clone());
    let started = start(config, black_box, history);
    if let Err(error) = &started {
        log_start_refused(error);
        history_of_start.close(REFUSED_WITHIN);
        box_of_start.refused();
        // another start registers its own
        glue::log::forget_taps();
        glue::trace::forget_hooks();
    }
    started
}

fn start(
    config: Config,
    black_box: glue::black_box::Part,
    history: glue::history::Part,
) -> Result<Ops, Error> {
    let log = glue::log::Log::start(&config)?;
    black_box.started();
    features::warn_of_variables();
    for section in &config.covered {
        tracing::warn!(
            target: "ops_layer", section, hint = "overridden by the program's code", "config_section_ignored"
        );
    }
    let secrets = glue::secrets::Part::start(&config);
    // also if one of them is the reason why secrets fail
    variables::warn_of_misspelled(|name| secrets.as_ref().is_ok_and(|part| part.reads(name)));
    let secrets = secrets?;
    let trace = glue::trace::Trace::start(&config)?;
    glue::metrics::start(&config)?;
    let cache = glue::cache::Part::start(&config, &secrets)?;
    let mut dirs = log.dirs();
    dirs.extend(black_box.dir());
    dirs.extend(history.dir().map(Path::to_owned));
    if cfg!(feature = "cache") {
        dirs.push(config.dir_of_cache().to_owned());
    }
    let ops = Ops {
        parts: Arc::new(Parts {
            service: config.service_name,
            observers: config.observers,
            #[cfg(all(feature = "admin", feature = "serve"))]
            build: config.build.map(|[version, commit, _]| [version, commit]),
            log,
            black_box,
            history,
            trace,
            secrets,
            cache,
            #[cfg(all(feature = "admin", feature = "serve"))]
            overruled: config.overruled,
            dirs,
            is_production: is_production(),
            watch: OnceLock::new(),
            #[cfg(feature = "serve")]
            began: AtomicUsize::new(0),
        }),
    };
    glue::metrics::before_scrape({
        let ops = ops.clone();
        move || ops.publish_metrics()
    });
    glue::metrics::before_tick({
        let ops = ops.clone();
        // for what is drawn each second, or what other processes change
        move || ops.parts.cache.publish()
    });
    // once all numbers exist, and published before they are read
    ops.parts.history.started();
    let parts = Arc::downgrade(&ops.parts);
    let look = move |at, heartbeat| Some(parts.upgrade()?.look(at, heartbeat));
    let watch = Watch::start(look, glue::log::scrubbed, glue::trace::example)
        .map_err(|error| Error::new("findings", error))?;
    let watch = ops.parts.watch.get_or_init(|| watch);
    // `init` succeeds once in a process
    let _ = WATCH.set(watch.clone());
    Ok(ops)
}

static WATCH: OnceLock<Watch> = OnceLock::new();

/// Set by the first [`init`]; cleared if it failed without leaving started parts behind.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Set if an [`init`] failed after parts had started that start once per process.
static FAILED_LATE: AtomicBool = AtomicBool::new(false);

const AFTER_FAILURE: &str = "an earlier call failed after some parts had started, which can start only once per process: fix the cause that \
                             it reported, and restart the process";

const TWICE: &str = "already started in this process: call `init`, `serve` or `run` once, and clone the `Ops` to share it";

/// Returns the current findings, causes before what they explain; empty before [`init`].
///
/// The rules are evaluated every five seconds on a separate thread: a call reads the last result without waiting.
pub fn diagnose() -> Vec<Finding> {
    WATCH.get().map_or_else(Vec::new, Watch::findings)
}

impl Parts {
    fn look(&self, at: Duration, heartbeat: Heartbeat) -> Snapshot {
        // both clocks at the same time: the rest may take long
        let wall = SystemTime::now();
        let (cache, queries) = self.cache.look();
        let mut metrics = glue::metrics::look();
        if let Some(metrics) = &mut metrics {
            glue::trace::look_for_queries(&mut metrics.slow_routes);
        }
        Snapshot {
            at,
            wall,
            is_production: self.is_production,
            export: self.trace.look(),
            secrets: self.secrets.look(),
            log: self.log.look(),
            black_box: self.black_box.look(),
            history: self.history.look(),
            cache,
            shared: self.cache.look_at_shared(),
            queries,
            metrics,
            disks: self.dirs.iter().filter_map(|dir| disk::read(dir)).collect(),
            heartbeat,
        }
    }
}

/// Observers of each request: spans, access lines, metrics. A part that is compiled out observes nothing.
pub type Observers = (
    glue::trace::Observer,
    glue::log::Observer,
    glue::metrics::Observer,
);

/// Observers of each outgoing request: spans, metrics.
pub type ClientObservers = (glue::trace::ClientObserver, glue::metrics::ClientObserver);

impl Ops {
    /// Returns the name of the service in traces.
    pub fn service(&self) -> &str {
        &self.parts.service
    }

    /// Returns version and commit, if they were set.
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) fn build(&self) -> Option<[&'static str; 2]> {
        self.parts.build
    }

    #[cfg(all(feature = "admin", feature = "serve", feature = "cache"))]
    pub(crate) fn cache_settings(&self) -> &data_cache::Config {
        &self.parts.cache.settings
    }

    /// Returns the value in effect for a variable that code overrides.
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) fn effective_value(&self, variable: &str) -> Option<&str> {
        used(&self.parts.overruled, variable)
    }

    /// Returns the value in effect for a variable whose own value cannot be used.
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) fn used_instead(&self, variable: &str) -> Option<&str> {
        used(&self.parts.trace.unusable, variable)
    }

    /// Returns the origin of the cache configuration.
    #[cfg(all(feature = "admin", feature = "serve", feature = "cache"))]
    pub(crate) fn cache_origin(&self) -> &glue::cache::Origin {
        &self.parts.cache.origin
    }

    /// Returns how the previous run ended, if it left a black box.
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) fn last_run(&self) -> Option<ops_admin::LastRun> {
        self.parts.black_box.last_run()
    }

    /// Returns the history for the admin page, if there is one.
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) fn history_shown(&self) -> Option<ops_admin::History> {
        self.parts.history.shown()
    }

    /// Returns the layer for incoming requests: span, access line and metrics. Add it outermost.
    pub fn http(&self) -> ops_http::ObserveLayer<Observers> {
        let observers = self.parts.observers.clone();
        ops_http::ObserveLayer::new((
            observers.trace.unwrap_or_else(glue::trace::observer),
            observers.log.unwrap_or_else(glue::log::observer),
            glue::metrics::observer(),
        ))
    }

    /// Returns the layer for outgoing requests: CLIENT span and metrics (`http_client_requests_total`,
    /// `http_client_request_latency_seconds`). Add it next to a tower HTTP client, inside of retries and timeouts.
    ///
    /// The hosts of [`Config::propagate_to`](crate::Config::propagate_to) get the trace context.
    pub fn http_client(&self) -> ops_http::ClientLayer<ClientObservers> {
        ops_http::ClientLayer::new((
            glue::trace::client_observer(),
            glue::metrics::client_observer(),
        ))
    }

    /// Returns the layer for `Cache-Control`, `ETag` and 304, configured by
    /// `http_cache` of cache.yaml. Add it inside of [`http`](Self::http).
    #[cfg(feature = "cache")]
    pub fn http_cache(&self) -> data_cache::http::CacheLayer {
        data_cache::http::CacheLayer::new(&self.parts.cache.settings)
    }

    /// Returns the secrets, which `get_secret` uses too.
    #[cfg(feature = "secrets")]
    pub fn secrets(&self) -> &ops_secrets::Secrets {
        &self.parts.secrets.0
    }

    /// Returns the query cache, which `get_cache` and `#[cached_query]` use too.
    #[cfg(feature = "cache")]
    pub fn cache(&self) -> &data_cache::Cache {
        &self.parts.cache.cache
    }

    /// Sets the metrics to the totals of every part. Called before each scrape, and before each export by OTLP.
    pub fn publish_metrics(&self) {
        glue::log::publish();
        glue::trace::publish();
        self.parts.secrets.publish();
        self.parts.cache.publish();
    }

    /// Returns the current findings, causes before what they explain; see [`diagnose`].
    pub fn diagnose(&self) -> Vec<Finding> {
        self.parts
            .watch
            .get()
            .map_or_else(Vec::new, Watch::findings)
    }

    /// Adds a rule of the application, called every five seconds on a separate thread.
    ///
    /// It returns a finding while something is wrong, and `None` otherwise; the finding ends 20 s
    /// after the rule last returned it. A rule that panics, takes longer than 100 ms or hangs is a
    /// finding itself (`rule_failing`). At most 64 rules; further ones are ignored, which is logged.
    ///
    /// ```no_run
    /// use ops_layer::{Finding, Severity};
    ///
    /// # fn waiting() -> usize { 0 }
    /// # fn add(ops: &ops_layer::Ops) {
    /// ops.add_rule("queue_growing", || {
    ///     let jobs = waiting();
    ///     (jobs > 100).then(|| {
    ///         Finding::new("queue_growing", Severity::Warning)
    ///             .seen(format!("{jobs} jobs wait"))
    ///             .means("Jobs finish later and later.")
    ///             .action("Add a worker.")
    ///     })
    /// });
    /// # }
    /// ```
    pub fn add_rule(
        &self,
        name: &'static str,
        rule: impl FnMut() -> Option<Finding> + Send + 'static,
    ) {
        if let Some(watch) = self.parts.watch.get() {
            watch.add_rule(name, rule);
        }
    }

    /// Sends heartbeats to the current runtime.
    #[cfg(feature = "serve")]
    pub(crate) fn watch_runtime(&self) {
        if let Some(watch) = self.parts.watch.get() {
            watch.watch_runtime();
        }
    }

    /// Writes pending cache entries, then sends the spans, then writes pending lines and
    /// history, all within `budget`: cache entries take at most half of it, and a fifth, at most
    /// 1 s, is reserved for the end. A line counts the spans that were exported and dropped;
    /// `cache_writes_cut_off` and `history_writes_cut_off` report what was not written in time.
    pub async fn shutdown(self, budget: Duration) {
        self.end(budget, glue::black_box::close).await;
    }

    async fn end(self, budget: Duration, close_black_box: impl FnOnce() + Send) {
        let started = Instant::now();
        glue::black_box::stopping(None);
        if let Some(watch) = self.parts.watch.get() {
            watch.stop();
        }
        let left = || budget.saturating_sub(started.elapsed());
        let last_lines = LAST_LINES.min(budget / LAST_LINES_SHARE);
        let until_then = || left().saturating_sub(last_lines);
        // entries can be computed again, spans cannot
        self.parts.cache.flush(until_then() / 2).await;
        self.parts.trace.shutdown(until_then()).await;
        self.parts.log.flush(left());
        self.parts.history.close(left());
        close_black_box();
    }
}

impl Ops {
    /// Logs why a start is refused after `init`, and does the same as [`shutdown`](Self::shutdown):
    /// this is not a crash, and the next start still reports a crash before it.
    pub async fn refuse(self, error: &(dyn std::error::Error + Sync), budget: Duration) {
        log_start_refused(error);
        let black_box = self.parts.black_box.clone();
        self.end(budget, || black_box.refused()).await;
    }

    /// Counts a service or job that begins.
    #[cfg(feature = "serve")]
    pub(crate) fn begin(&self) {
        self.parts.began.fetch_add(1, Ordering::AcqRel);
    }

    /// Does the same as [`refuse`](Self::refuse) for a service or job that
    /// began, unless others began too: the layer they run on is not shut down.
    #[cfg(feature = "serve")]
    pub(crate) async fn refuse_one(self, error: &Error, budget: Duration) {
        match self.parts.began.fetch_sub(1, Ordering::AcqRel) {
            ..=1 => self.refuse(error, budget).await,
            _ => log_start_refused(error),
        }
    }
}

#[cfg(all(feature = "admin", feature = "serve"))]
fn used<'a>(all: &'a [(&'static str, String)], variable: &str) -> Option<&'a str> {
    let (_, used) = all.iter().find(|(name, _)| *name == variable)?;
    Some(used)
}

fn log_start_refused(error: &dyn std::error::Error) {
    tracing::error!(target: "ops_layer", error = chain(error), "start_refused");
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops")
            .field("service", &self.parts.service)
            .finish_non_exhaustive()
    }
}
