//! Thread that evaluates the rules every few seconds, off the path of requests.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;

use super::app::AppRules;
use super::example::{Examples, Find};
use super::runtime::BLOCKED;
use super::snapshot::{Heartbeat, Snapshot};
use super::state::{Change, State, known};
use super::{EVERY, Finding, Severity};

/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// Age from which findings count as outdated.
const OUTDATED_AFTER: Duration = Duration::from_secs(30);

/// Current findings of a process, and the thread that updates them.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Shared>);

struct Shared {
    app: AppRules,
    current: Mutex<Current>,
    runtime: Mutex<Option<Handle>>,
    beat: Arc<Beat>,
    stopped: Mutex<bool>,
    wake: Condvar,
}

struct Current {
    findings: Arc<[Finding]>,
    at: Instant,
}

/// Task that was most recently sent to the runtime.
#[derive(Debug, Default)]
struct Beat {
    /// Milliseconds since the start of the watch, plus one; 0 if the task ran.
    sent: AtomicU64,
    longest: AtomicU64,
}

/// Task in transit: it no longer waits once it ran, or was dropped with its runtime.
struct PendingBeat(Arc<Beat>);

impl Drop for PendingBeat {
    fn drop(&mut self) {
        self.0.sent.store(0, Ordering::Release);
    }
}

impl Watch {
    /// Starts the thread; `scrub` redacts secrets in the texts, `find` finds traces.
    /// The thread ends when `look` returns `None`, or with [`stop`](Self::stop).
    pub(crate) fn start(
        look: impl Fn(Duration, Heartbeat) -> Option<Snapshot> + Send + 'static,
        scrub: fn(String) -> String,
        find: Find,
    ) -> Result<Self, std::io::Error> {
        let watch = Self::new(Handle::try_current().ok());
        let running = watch.clone();
        // the metrics exist with 0 before the first evaluation
        let mut metrics = Metrics::default();
        metrics.publish(&[]);
        std::thread::Builder::new()
            .name("ops-findings".to_owned())
            .spawn(move || running.run(&look, scrub, find, metrics))?;
        Ok(watch)
    }

    fn new(runtime: Option<Handle>) -> Self {
        Self(Arc::new(Shared {
            app: AppRules::default(),
            current: Mutex::new(Current {
                findings: Arc::default(),
                at: Instant::now(),
            }),
            runtime: Mutex::new(runtime),
            beat: Arc::default(),
            stopped: Mutex::default(),
            wake: Condvar::new(),
        }))
    }

    /// Watches the current runtime.
    #[cfg(feature = "serve")]
    pub(crate) fn watch_runtime(&self) {
        if let Ok(handle) = Handle::try_current() {
            *lock(&self.0.runtime) = Some(handle);
            // the task of the previous runtime does not count for this one
            self.0.beat.sent.store(0, Ordering::Release);
        }
    }

    pub(crate) fn add_rule(
        &self,
        name: &'static str,
        rule: impl FnMut() -> Option<Finding> + Send + 'static,
    ) {
        self.0.app.add(name, Box::new(rule));
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        let current = lock(&self.0.current);
        let (mut findings, age) = (current.findings.to_vec(), current.at.elapsed());
        drop(current);
        if age > OUTDATED_AFTER && !*lock(&self.0.stopped) {
            let stuck = Finding::new("findings_stuck", Severity::Warning)
                .seen(format!(
                    "the rules were last evaluated {} s ago",
                    age.as_secs()
                ))
                .means("The findings below are outdated.")
                .action("Check `dmesg` and the mounts: the usual cause is a hanging file system.");
            findings.insert(0, stuck);
        }
        findings
    }

    pub(crate) fn stop(&self) {
        *lock(&self.0.stopped) = true;
        self.0.app.stop();
        self.0.wake.notify_all();
    }

    fn run(
        &self,
        look: &dyn Fn(Duration, Heartbeat) -> Option<Snapshot>,
        scrub: fn(String) -> String,
        find: Find,
        mut metrics: Metrics,
    ) {
        let (start, mut state) = (Instant::now(), State::default());
        let (mut next, mut was_blocked) = (Duration::ZERO, false);
        let mut examples = Examples::default();
        loop {
            let is_blocked = self.beat(start);
            let now = start.elapsed();
            // evaluated at once when workers block, and again as soon as that is over
            if now >= next || is_blocked != was_blocked {
                let Some(snapshot) = look(now, self.heartbeat(start)) else {
                    return;
                };
                let (mut findings, changes) = state.evaluate(snapshot, self.0.app.found());
                changes.iter().for_each(report);
                for finding in &mut findings {
                    finding.seen = scrub(std::mem::take(&mut finding.seen));
                }
                examples.add(&mut findings, find);
                metrics.publish(&findings);
                *lock(&self.0.current) = Current {
                    findings: findings.into(),
                    at: Instant::now(),
                };
                next = now + EVERY;
                was_blocked = is_blocked;
            }
            let stopped = lock(&self.0.stopped);
            let wait = self
                .0
                .wake
                .wait_timeout_while(stopped, BEAT, |stopped| !*stopped);
            if *wait.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
        }
    }

    /// Sends a task unless one is waiting; returns `true` if one has waited too long.
    fn beat(&self, start: Instant) -> bool {
        let Some(runtime) = lock(&self.0.runtime).clone() else {
            return false;
        };
        let beat = &self.0.beat;
        let now = millis(start.elapsed());
        match beat.sent.load(Ordering::Acquire) {
            0 => {
                beat.sent.store(now + 1, Ordering::Release);
                let task = PendingBeat(beat.clone());
                drop(runtime.spawn(async move {
                    let waited = millis(start.elapsed()).saturating_sub(now);
                    task.0.longest.fetch_max(waited, Ordering::Relaxed);
                }));
                false
            }
            sent => Duration::from_millis(now.saturating_sub(sent - 1)) >= BLOCKED,
        }
    }

    fn heartbeat(&self, start: Instant) -> Heartbeat {
        let beat = &self.0.beat;
        let sent = beat.sent.load(Ordering::Acquire).checked_sub(1);
        let waited = |sent| Duration::from_millis(millis(start.elapsed()).saturating_sub(sent));
        let runtime = lock(&self.0.runtime);
        Heartbeat {
            waiting: sent.map(waited),
            longest: Duration::from_millis(beat.longest.swap(0, Ordering::Relaxed)),
            workers: runtime
                .as_ref()
                .map_or(0, |runtime| runtime.metrics().num_workers()),
        }
    }
}

/// Logs one line when a finding appears, and one when it ends.
fn report(change: &Change) {
    match change {
        Change::Appeared(finding) => {
            let Finding {
                id,
                severity,
                seen,
                action,
                runbook,
                explained_by,
                ..
            } = finding;
            let severity = severity.as_str();
            tracing::warn!(
                target: "ops_layer", id, severity, seen, action, runbook, explained_by, "finding_appeared"
            );
        }
        Change::Cleared(finding, stood) => {
            let since = finding
                .since
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs());
            tracing::info!(
                target: "ops_layer", id = finding.id, since, duration_seconds = stood.as_secs(), "finding_cleared"
            );
        }
    }
}

/// `ops_findings{id,severity}`: 1 while a finding stands, 0 afterwards.
#[derive(Debug, Default)]
struct Metrics {
    reported: BTreeSet<(&'static str, Severity)>,
}

impl Metrics {
    fn publish(&mut self, findings: &[Finding]) {
        if self.reported.is_empty() {
            self.reported.extend(known());
        }
        let standing = findings
            .iter()
            .map(|finding| (finding.id, finding.severity));
        self.reported.extend(standing.clone());
        #[cfg(feature = "metrics")]
        for (id, severity) in &self.reported {
            let stands = standing.clone().any(|one| one == (*id, *severity));
            metrics::gauge!("ops_findings", "id" => *id, "severity" => severity.as_str())
                .set(f64::from(u8::from(stands)));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_was_dropped_with_its_runtime_waits_for_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let watch = Watch::new(Some(runtime.handle().clone()));
        let start = Instant::now();
        assert!(!watch.beat(start));
        assert!(watch.heartbeat(start).waiting.is_some());
        drop(runtime);
        assert_eq!(watch.heartbeat(start).waiting, None);
        // nor does a task that is sent there afterwards
        assert!(!watch.beat(start));
        assert_eq!(watch.heartbeat(start).waiting, None);
    }
}
