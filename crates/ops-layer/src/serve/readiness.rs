use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::health::Health;

/// Maximum time for all checks together.
const ALL_WITHIN: Duration = Duration::from_secs(5);
/// Pause between two runs of the checks until a service is ready for the first time.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Age up to which probes share results; a later probe starts the checks again.
const SHARED_FOR: Duration = Duration::from_millis(500);

/// Time after a start in which failures of checks are not logged.
const START_WITHIN: Duration = Duration::from_secs(10);
/// Minimum time between two lines about reasons that change while the same checks fail.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

type Checked = Pin<Box<dyn Future<Output = Health> + Send>>;

/// One named condition of readiness.
pub(super) struct Check {
    name: String,
    timeout: Duration,
    ask: Box<dyn Fn() -> Checked + Send + Sync>,
}

impl Check {
    pub(super) fn new<F, R>(
        name: String,
        timeout: Duration,
        ask: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Into<Health>,
    {
        Self {
            name,
            timeout: timeout.min(ALL_WITHIN),
            ask: Box::new(move || {
                let asked = ask();
                Box::pin(async move { asked.await.into() })
            }),
        }
    }
}

/// Age from which results are outdated: newer ones were requested and do not arrive.
#[cfg(feature = "admin")]
const OLD_AFTER: Duration = ALL_WITHIN.saturating_add(Duration::from_secs(2));

/// Results of all checks at one time.
#[derive(Clone, Debug)]
pub(super) struct Report {
    began: Instant,
    at: Instant,
    pub(super) checks: Vec<(String, Health)>,
}

impl Report {
    /// Runs the checks, and returns their results.
    async fn of(checks: &[Check]) -> Self {
        let began = Instant::now();
        let checks = ask(checks).await;
        Self {
            began,
            at: Instant::now(),
            checks,
        }
    }

    /// Returns the age of outdated results.
    #[cfg(feature = "admin")]
    pub(super) fn outdated(&self) -> Option<Duration> {
        Some(self.at.elapsed()).filter(|age| *age > OLD_AFTER)
    }

    /// Returns the names of the checks that failed.
    fn failing(&self) -> impl Iterator<Item = String> {
        let failing = self.checks.iter();
        let failing = failing.filter(|(_, health)| matches!(health, Health::Failed(_)));
        failing.map(|(name, _)| name.clone())
    }

    /// Returns the reasons of the checks that failed.
    pub(super) fn failed(&self) -> Option<String> {
        let failed = self
            .checks
            .iter()
            .filter_map(|(name, health)| match health {
                Health::Failed(reason) => Some(format!("{name}: {reason}")),
                _ => None,
            });
        let failed: Vec<_> = failed.collect();
        (!failed.is_empty()).then(|| failed.join("; "))
    }
}

/// Readiness of the service. The checks run on the runtime of the service, not on that of the caller.
#[derive(Clone)]
pub(super) struct Readiness(Arc<Shared>);

struct Shared {
    checks: Vec<Check>,
    runtime: Handle,
    draining: watch::Sender<bool>,
    was_ready: AtomicBool,
    log: Mutex<CheckLog>,
    running: AtomicBool,
    latest: watch::Sender<Option<Arc<Report>>>,
}

impl Readiness {
    pub(super) fn new(checks: Vec<Check>, runtime: Handle) -> Self {
        Self(Arc::new(Shared {
            was_ready: AtomicBool::new(checks.is_empty()),
            log: Mutex::default(),
            checks,
            runtime,
            draining: watch::Sender::new(false),
            running: AtomicBool::new(false),
            latest: watch::Sender::new(None),
        }))
    }

    /// Turns `/readyz` to 503 permanently.
    pub(super) fn drain(&self) {
        self.0.draining.send_replace(true);
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.0.draining.borrow()
    }

    /// Waits until the service is asked to stop.
    #[cfg(feature = "grpc")]
    pub(super) async fn drained(&self) {
        // the sender lives as long as `self`
        let _ = self.0.draining.subscribe().wait_for(|now| *now).await;
    }

    /// Returns whether the service was ever ready: before that, no load balancer sends it a request.
    pub(super) fn was_ready(&self) -> bool {
        self.0.was_ready.load(Ordering::Relaxed)
    }

    /// Waits until the service is ready for the first time. Failures are
    /// not shared, so that a probe shortly afterwards gets its own result.
    pub(super) async fn first_ready(&self) {
        let report = loop {
            let report = Report::of(&self.0.checks).await;
            self.log_changes(&report);
            if report.failed().is_none() {
                break report;
            }
            tokio::time::sleep(ASK_EVERY).await;
        };
        self.0.latest.send_replace(Some(Arc::new(report)));
        self.0.was_ready.store(true, Ordering::Relaxed);
    }

    /// Returns why requests should go elsewhere; `None` if the service is ready.
    pub(super) async fn not_ready(&self) -> Option<String> {
        if self.is_draining() {
            return Some("shutting down".to_owned());
        }
        if self.0.checks.is_empty() {
            return None;
        }
        let asked = Instant::now();
        let mut latest = self.0.latest.subscribe();
        self.refresh();
        let recent = latest.wait_for(|report| {
            let report = report.as_ref();
            report.is_some_and(|report| report.at + SHARED_FOR > asked)
        });
        let reason = match tokio::time::timeout(ALL_WITHIN + SHARED_FOR, recent).await {
            Ok(Ok(report)) => report.as_ref().and_then(|report| report.failed()),
            _ => Some(
                "the readiness checks do not respond: the service is overloaded or blocked"
                    .to_owned(),
            ),
        };
        if reason.is_none() {
            self.0.was_ready.store(true, Ordering::Relaxed);
        }
        reason
    }

    /// Returns the latest results without waiting, and starts the checks if they are old.
    #[cfg(feature = "admin")]
    pub(super) fn latest(&self) -> Option<Arc<Report>> {
        self.refresh();
        self.0.latest.borrow().clone()
    }

    /// Returns the names of the checks.
    #[cfg(feature = "admin")]
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.checks.iter().map(|check| check.name.as_str())
    }

    /// Starts the checks, unless they are running or just ran.
    fn refresh(&self) {
        let shared = &self.0;
        let is_recent = |report: &Arc<Report>| report.at.elapsed() < SHARED_FOR;
        if shared.checks.is_empty()
            || shared.latest.borrow().as_ref().is_some_and(is_recent)
            || shared.running.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let running = Running(self.clone());
        shared.runtime.spawn(async move {
            let shared = &running.0.0;
            let report = Report::of(&shared.checks).await;
            running.0.log_changes(&report);
            shared.latest.send_replace(Some(Arc::new(report)));
        });
    }

    /// Logs the failing checks if others fail than before, or if the reason differs
    /// at least a minute after the last line, and logs when all of them pass again;
    /// not on every run. During a start, failures are not logged for some time.
    fn log_changes(&self, report: &Report) {
        if self.is_draining() {
            return;
        }
        let mut log = self.0.log.lock().unwrap_or_else(PoisonError::into_inner);
        // a probe and the wait for the first time may run the checks concurrently: the run that began later counts
        if log.newest.is_some_and(|newest| report.began < newest) {
            return;
        }
        log.newest = Some(report.began);
        let Some(reason) = report.failed() else {
            let had_failed = !log.failing.is_empty();
            *log = CheckLog {
                newest: log.newest,
                ..CheckLog::default()
            };
            drop(log);
            if had_failed {
                tracing::info!(target: "ops_layer", "checks_passing");
            }
            return;
        };
        let since = log.since.get_or_insert_with(Instant::now).elapsed();
        if since < START_WITHIN && !self.0.was_ready.load(Ordering::Relaxed) {
            return;
        }
        let is_other = |name: &String| !log.failing.contains(name);
        let others: Vec<String> = report.failing().filter(is_other).collect();
        let is_old = log.at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if others.is_empty() && !(is_old && log.reason != reason) {
            return;
        }
        log.failing.extend(others);
        log.reason.clone_from(&reason);
        log.at = Some(Instant::now());
        drop(log);
        tracing::warn!(target: "ops_layer", reason, "checks_failing");
    }
}

/// State of the lines about the checks since all of them passed.
#[derive(Default)]
struct CheckLog {
    /// Start of the latest run of the checks that was considered.
    newest: Option<Instant>,
    since: Option<Instant>,
    /// Names of the checks that were logged.
    failing: Vec<String>,
    reason: String,
    at: Option<Instant>,
}

/// Allows the next run when this one ends, in any way.
struct Running(Readiness);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.store(false, Ordering::Release);
    }
}

/// Runs all checks concurrently.
async fn ask(checks: &[Check]) -> Vec<(String, Health)> {
    let asked: Vec<_> = checks.iter().map(run).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (check, asked) in checks.iter().zip(asked) {
        let health = asked
            .await
            .unwrap_or_else(|_| Health::failed("the check panicked"));
        answers.push((check.name.clone(), health));
    }
    answers
}

fn run(check: &Check) -> tokio::task::JoinHandle<Health> {
    let timeout = check.timeout;
    // the application's future runs in a separate task: a panic ends only that task
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (check.ask)()));
    tokio::spawn(async move {
        let Ok(asked) = asked else {
            return Health::failed("the check panicked");
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(health) => health,
            Err(_) => Health::failed(format_args!("timed out after {timeout:?}")),
        }
    })
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "admin"))]
impl Readiness {
    /// Creates a readiness with results of some time ago, while the next ones take long.
    pub(super) fn of_before(ago: Duration, checks: Vec<(String, Health)>) -> Self {
        let slow = Check::new(
            "slow".to_owned(),
            ALL_WITHIN,
            std::future::pending::<Health>,
        );
        let readiness = Self::new(vec![slow], Handle::current());
        let at = Instant::now() - ago;
        let report = Report {
            began: at,
            at,
            checks,
        };
        readiness.0.latest.send_replace(Some(Arc::new(report)));
        readiness
    }
}
