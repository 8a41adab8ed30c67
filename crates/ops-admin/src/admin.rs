use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use crate::check::Readiness;
use crate::token::Token;
use crate::{Check, Finding, History, Job, LastRun, Setting};

/// Time that a view of the page waits for the readiness checks.
const ANSWERED_WITHIN: Duration = Duration::from_millis(50);
/// Same, if the known results are outdated because nobody asked since.
const OUTDATED_WITHIN: Duration = Duration::from_secs(1);
/// Same, if there are no known results: a page asks again after five seconds without a response.
const ALONE_WITHIN: Duration = Duration::from_secs(3);
/// Time for which the last result of the readiness function is used while the results of the
/// checks are outdated. Longer than the function needs for a result of its own.
const LAST_READINESS_VALID_FOR: Duration = Duration::from_secs(10);

/// Last result of the readiness function, with its time.
type LastReadiness = Option<(Instant, Option<String>)>;

/// Admin page of one service.
#[derive(Clone)]
pub struct Admin {
    inner: Arc<Inner>,
}

type ReadinessFuture = Pin<Box<dyn Future<Output = Option<String>> + Send>>;
type ReadinessFn = Arc<dyn Fn() -> ReadinessFuture + Send + Sync>;
type Latest = Arc<dyn Fn() -> (Option<String>, Vec<Check>) + Send + Sync>;
type Findings = Arc<dyn Fn() -> Vec<Finding> + Send + Sync>;
type Settings = Arc<dyn Fn() -> Vec<Setting> + Send + Sync>;
type Jobs = Arc<dyn Fn() -> Vec<Job> + Send + Sync>;

#[derive(Clone)]
struct Inner {
    service: String,
    started: (Instant, SystemTime),
    /// Version and commit.
    build: Option<(String, String)>,
    readiness: ReadinessFn,
    latest: Option<Latest>,
    findings: Option<Findings>,
    settings: Option<Settings>,
    /// Title of the section, and its rows.
    jobs: Option<(String, Jobs)>,
    last_run: Option<Arc<LastRun>>,
    history: Option<History>,
    hosts: Vec<String>,
    token: Option<Arc<Token>>,
    #[cfg(feature = "profile")]
    profile: bool,
    /// The readiness function is running.
    is_asking: Arc<AtomicBool>,
    last_readiness: Arc<Mutex<LastReadiness>>,
    /// Name of the person who changed the sampling ratio, and the reason.
    #[cfg(feature = "trace")]
    ratio_change: Arc<Mutex<Option<(String, String)>>>,
    #[cfg(feature = "secrets")]
    secrets: Option<ops_secrets::Secrets>,
    #[cfg(feature = "cache")]
    cache: Option<data_cache::Cache>,
    #[cfg(feature = "cache")]
    cache_limits: Option<(u64, u64)>,
}

impl Admin {
    /// Creates a page for the service with this name, which is ready from the start.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                service: service.into(),
                started: (Instant::now(), SystemTime::now()),
                build: None,
                readiness: Arc::new(|| Box::pin(std::future::ready(None))),
                latest: None,
                findings: None,
                settings: None,
                jobs: None,
                last_run: None,
                history: None,
                hosts: Vec::new(),
                token: None,
                #[cfg(feature = "profile")]
                profile: false,
                is_asking: Arc::default(),
                last_readiness: Arc::default(),
                #[cfg(feature = "trace")]
                ratio_change: Arc::default(),
                #[cfg(feature = "secrets")]
                secrets: None,
                #[cfg(feature = "cache")]
                cache: None,
                #[cfg(feature = "cache")]
                cache_limits: None,
            }),
        }
    }

    /// Sets the function that `/readyz` calls: it returns the reason why the service is not ready, or `None`.
    #[must_use]
    pub fn readiness<F>(mut self, readiness: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        Arc::make_mut(&mut self.inner).readiness = Arc::new(move || Box::pin(readiness()));
        self
    }

    /// Sets the readiness that the page shows: the reason why the service is not ready, and each check. The function
    /// is called for each `/api/state`, after [`readiness`](Self::readiness) had 50 ms to respond (1 s if the results
    /// are outdated), and must return known results without waiting; outdated results have the state `unknown`.
    /// Unless set, the page calls `readiness` as `/readyz` does, and reports if it does not respond within 3 s.
    #[must_use]
    pub fn checks(
        mut self,
        latest: impl Fn() -> (Option<String>, Vec<Check>) + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.inner).latest = Some(Arc::new(latest));
        self
    }

    /// Sets the findings that the page shows, causes first. The function is called for each `/api/state` and
    /// `/readyz?verbose`, and at most every second while a page is open; it must return known findings without waiting.
    #[must_use]
    pub fn findings(mut self, findings: impl Fn() -> Vec<Finding> + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.inner).findings = Some(Arc::new(findings));
        self
    }

    /// Sets the configuration in effect that the page shows, each setting with its origin.
    #[must_use]
    pub fn configuration(
        mut self,
        settings: impl Fn() -> Vec<Setting> + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.inner).settings = Some(Arc::new(settings));
        self
    }

    /// Adds a section with this title that lists background work, newest first, each with its phases on a timeline. The
    /// first 20 jobs are shown, each with at most 32 phases: earlier ones are summed up in one. The function is called
    /// for each `/api/state`, and at most every second while a page is open; it must return known data without waiting.
    #[must_use]
    pub fn jobs(
        mut self,
        title: impl Into<String>,
        jobs: impl Fn() -> Vec<Job> + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.inner).jobs = Some((title.into(), Arc::new(jobs)));
        self
    }

    /// Adds a section about the previous run: how it ended, and its last seconds.
    #[must_use]
    pub fn last_run(mut self, last: LastRun) -> Self {
        Arc::make_mut(&mut self.inner).last_run = Some(Arc::new(last));
        self
    }

    /// Adds a section about the days before: the charts also cover the time before the start of
    /// the process, its questions are answered, and so is SQL if there is a [token](Self::token).
    #[must_use]
    pub fn history(mut self, history: History) -> Self {
        Arc::make_mut(&mut self.inner).history = Some(history);
        self
    }

    /// Sets the version and the commit of the program.
    #[must_use]
    pub fn build(mut self, version: impl Into<String>, commit: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).build = Some((version.into(), commit.into()));
        self
    }

    /// Requires this token for every route except `/healthz`: as `Authorization: Bearer <token>`,
    /// or as the password of the user `ops`, which a browser asks for. With the token, any host
    /// name is accepted. White space around it, such as the line break of a file, is ignored.
    ///
    /// A token of fewer than 16 bytes, such as that of an unset variable, grants
    /// no access: every request is refused, and `admin_token_too_short` is logged.
    ///
    /// After five wrong tokens within a minute an address is refused with 429 for 60 s. Loopback
    /// addresses are never refused, because all operators behind a port-forward share one. Your own
    /// server has to provide addresses (`into_make_service_with_connect_info::<SocketAddr>()`):
    /// without them nobody is refused, and `admin_peer_unknown` is logged.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).token = Some(Arc::new(Token::new(&token.into())));
        self
    }

    /// Sets whether `/debug/pprof/profile` serves CPU profiles, if there is a [token](Self::token); off by default.
    ///
    /// While a profile is taken, each thread is interrupted 99 times for each second that it runs;
    /// nothing is sampled at other times. The interrupts are SIGPROF signals: leave profiles off
    /// in a program that uses that signal itself. The first profile takes about 65 MiB of memory,
    /// which is kept for the next one, temporarily twice that, and a file in `TMPDIR` (`/tmp`).
    #[cfg(feature = "profile")]
    #[must_use]
    pub fn profile(mut self, on: bool) -> Self {
        Arc::make_mut(&mut self.inner).profile = on;
        self
    }

    /// Accepts requests for this host name, in addition to loopback. Without a port.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).hosts.push(host.into());
        self
    }

    /// Shows the report of these secrets.
    #[cfg(feature = "secrets")]
    #[must_use]
    pub fn secrets(mut self, secrets: ops_secrets::Secrets) -> Self {
        Arc::make_mut(&mut self.inner).secrets = Some(secrets);
        self
    }

    /// Shows the statistics of this cache.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache(mut self, cache: data_cache::Cache) -> Self {
        Arc::make_mut(&mut self.inner).cache = Some(cache);
        self
    }

    /// Sets the maximum sizes of the cache's files and memory in bytes, which the page shows beside the current sizes.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache_limits(mut self, files: u64, memory: u64) -> Self {
        Arc::make_mut(&mut self.inner).cache_limits = Some((files, memory));
        self
    }

    /// Returns the name of the service.
    pub fn service(&self) -> &str {
        &self.inner.service
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.inner
            .build
            .as_ref()
            .map(|(version, _)| version.as_str())
    }

    pub(crate) fn commit(&self) -> Option<&str> {
        self.inner.build.as_ref().map(|(_, commit)| commit.as_str())
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.inner.started.0.elapsed()
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.inner.started.1
    }

    pub(crate) fn token_check(&self) -> Option<Arc<Token>> {
        self.inner.token.clone()
    }

    #[cfg(feature = "profile")]
    pub(crate) fn is_profiled(&self) -> bool {
        self.inner.profile
    }

    pub(crate) fn hosts(&self) -> &[String] {
        &self.inner.hosts
    }

    /// Calls the readiness function. If it panics, that is the reason why the service is not ready.
    pub(crate) async fn not_ready(&self) -> Option<String> {
        let panicked = || "the readiness function panicked".to_owned();
        let ask = AssertUnwindSafe(|| (self.inner.readiness)());
        let Ok(mut asked) = catch_unwind(ask) else {
            return Some(panicked());
        };
        std::future::poll_fn(move |cx| {
            let poll = AssertUnwindSafe(|| asked.as_mut().poll(cx));
            catch_unwind(poll).unwrap_or_else(|_| Poll::Ready(Some(panicked())))
        })
        .await
    }

    /// Returns the known readiness. Also calls the readiness function and
    /// waits briefly, so that results are recent even if nobody asked before.
    pub(crate) async fn known_readiness(&self) -> Readiness {
        let Some(latest) = &self.inner.latest else {
            let asked = tokio::time::timeout(ALONE_WITHIN, self.not_ready()).await;
            let late = |_| {
                let seconds = ALONE_WITHIN.as_secs();
                Some(format!(
                    "the readiness function has not returned for {seconds} s"
                ))
            };
            return (asked.unwrap_or_else(late), Vec::new());
        };
        if !self.inner.is_asking.swap(true, Ordering::Relaxed) {
            let admin = self.clone();
            let asked = tokio::spawn(async move {
                let reason = admin.not_ready().await;
                *admin.last_readiness() = Some((Instant::now(), reason));
                admin.inner.is_asking.store(false, Ordering::Relaxed);
            });
            let patience = match is_outdated(&known(latest).1) {
                true => OUTDATED_WITHIN,
                false => ANSWERED_WITHIN,
            };
            // an error means that it takes longer: the known results are used
            let _ = tokio::time::timeout(patience, asked).await;
        }
        let (reason, checks) = known(latest);
        let last = || {
            let last = self.last_readiness().clone();
            let (at, last) = last.filter(|_| is_outdated(&checks))?;
            last.filter(|_| at.elapsed() < LAST_READINESS_VALID_FOR)
        };
        (reason.or_else(last), checks)
    }

    fn last_readiness(&self) -> MutexGuard<'_, LastReadiness> {
        let last = self.inner.last_readiness.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the known state of the checks.
    pub(crate) fn latest_checks(&self) -> Vec<Check> {
        let latest = self.inner.latest.as_ref();
        latest.map_or_else(Vec::new, |latest| known(latest).1)
    }

    /// Returns the findings; `None` if no function is set, an error if it panicked.
    pub(crate) fn find(&self) -> Option<std::thread::Result<Vec<Finding>>> {
        let findings = self.inner.findings.as_ref()?;
        Some(catch_unwind(AssertUnwindSafe(|| findings())))
    }

    pub(crate) fn settings(&self) -> Vec<Setting> {
        self.inner
            .settings
            .as_ref()
            .map_or_else(Vec::new, |settings| settings())
    }

    /// Returns the title of the section of jobs, and the jobs; an error if the function panicked.
    pub(crate) fn listed_jobs(&self) -> Option<(&str, std::thread::Result<Vec<Job>>)> {
        let (title, jobs) = self.inner.jobs.as_ref()?;
        Some((title, catch_unwind(AssertUnwindSafe(|| jobs()))))
    }

    pub(crate) fn history_shown(&self) -> Option<&History> {
        self.inner.history.as_ref()
    }

    pub(crate) fn last_run_shown(&self) -> Option<&LastRun> {
        self.inner.last_run.as_deref()
    }

    #[cfg(feature = "trace")]
    pub(crate) fn ratio_change(&self) -> Option<(String, String)> {
        let change = self.inner.ratio_change.lock();
        change.unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg(feature = "trace")]
    pub(crate) fn note_ratio_change(&self, by: Option<(String, String)>) {
        let change = self.inner.ratio_change.lock();
        *change.unwrap_or_else(PoisonError::into_inner) = by;
    }

    #[cfg(feature = "secrets")]
    pub(crate) fn secrets_handle(&self) -> Option<&ops_secrets::Secrets> {
        self.inner.secrets.as_ref()
    }

    #[cfg(feature = "cache")]
    pub(crate) fn cache_handle(&self) -> Option<&data_cache::Cache> {
        self.inner.cache.as_ref()
    }

    #[cfg(feature = "cache")]
    pub(crate) fn limits_of_cache(&self) -> Option<(u64, u64)> {
        self.inner.cache_limits
    }
}

/// Returns whether the state of a check is outdated.
fn is_outdated(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.state == "unknown")
}

/// Returns the known readiness; a panic of the function is a reason why the service is not ready.
fn known(latest: &Latest) -> Readiness {
    let panicked = |_| {
        (
            Some("the function that returns the checks panicked".to_owned()),
            Vec::new(),
        )
    };
    catch_unwind(AssertUnwindSafe(|| latest())).unwrap_or_else(panicked)
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("service", &self.inner.service)
            .finish_non_exhaustive()
    }
}
