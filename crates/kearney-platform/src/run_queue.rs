//! Runs that were asked for: one is in flight, the others wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::domain_metrics::{self, RunStatus};
use crate::orchestrator::Run;

/// Runs that may wait; one more is refused.
pub const WAITING_MAX: usize = 16;

/// Takes jobs and runs them in the order in which they came.
#[derive(Debug)]
pub struct RunQueue {
    turn: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    asked: AtomicU64,
}

impl RunQueue {
    pub fn new() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::default(),
            asked: AtomicU64::new(0),
        }
    }

    /// The id of the run; `None` where too many wait.
    pub fn submit(
        &self,
        job: &str,
        work: impl FnOnce(&mut Run) -> Result<(), String> + Send + 'static,
    ) -> Option<String> {
        let place = Place::take(&self.waiting)?;
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let id = format!("{job}-{}-{number}", std::process::id());
        let (turn, run_id) = (self.turn.clone(), id.clone());
        drop(ops_layer::spawn(async move {
            let Ok(turn) = turn.acquire_owned().await else {
                return; // never closed
            };
            place.leave();
            drop(ops_layer::spawn_blocking(move || {
                let _turn = turn;
                let mut run = Run::with_id(run_id);
                if work(&mut run).is_ok() {
                    run.finish();
                }
            }));
        }));
        Some(id)
    }
}

/// A place among those that wait. A run that never gets its turn, since the process stops, was cancelled.
struct Place {
    waiting: Arc<AtomicUsize>,
    served: bool,
}

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let free = |taken: usize| (taken < WAITING_MAX).then_some(taken + 1);
        waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, free)
            .ok()?;
        domain_metrics::orchestrator_queue_depth().add(1.0);
        Some(Self {
            waiting: waiting.clone(),
            served: false,
        })
    }

    fn leave(mut self) {
        self.served = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        domain_metrics::orchestrator_queue_depth().add(-1.0);
        if !self.served {
            domain_metrics::orchestrator_runs_total(RunStatus::Cancelled).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::domain_metrics::{Agent, Phase};

    #[tokio::test(flavor = "multi_thread")]
    async fn one_run_is_in_flight_and_what_is_too_much_to_wait_is_refused() {
        let queue = RunQueue::new();
        let (begun, begins) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let held = move |_: &mut Run| {
            begun.send(()).unwrap();
            released.recv().map_err(|error| error.to_string())
        };
        assert!(queue.submit("test", held).is_some());
        begins.recv().unwrap();
        let ids: Vec<_> = (0..WAITING_MAX)
            .map(|_| queue.submit("test", |_| Ok(())))
            .collect();
        assert!(ids.iter().all(Option::is_some));
        assert_eq!(queue.submit("test", |_| Ok(())), None);
        release.send(()).unwrap();
        while queue.submit("test", |_| Ok(())).is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_run_that_fails_twice_and_then_not_counts_two_retries_and_one_phase() {
        let retries =
            domain_metrics::orchestrator_agent_retries_total(Agent::Loader, Phase::Publish);
        let phases = domain_metrics::orchestrator_phase_seconds(Phase::Publish);
        let mut failures = 2;
        let mut run = Run::start("test");
        let done = run.attempt(Agent::Loader, Phase::Publish, || match failures {
            0 => Ok(()),
            _ => {
                failures -= 1;
                Err("on purpose".to_owned())
            }
        });
        assert_eq!(done, Ok(()));
        assert_eq!((retries.get(), phases.count()), (2, 1));
    }

    #[test]
    fn a_run_that_waited_in_vain_was_cancelled() {
        let cancelled = domain_metrics::orchestrator_runs_total(RunStatus::Cancelled);
        let before = cancelled.get();
        let waiting = Arc::default();
        drop(Place::take(&waiting));
        assert!(cancelled.get() > before);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}
