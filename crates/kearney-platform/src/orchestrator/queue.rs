use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ops_layer::StopSignal;
use ops_layer::trace::SpanIds;
use tokio::sync::Notify;
use uuid::Uuid;

use super::record::{Record, Status};
use super::store::Runs;
use crate::domain_metrics;
use crate::error::{Result, chain};

/// Runs that may wait; one more is refused.
const WAITING_MAX: usize = 16;
/// Longest time that a refused client is told to stay away.
const RETRY_AFTER_MAX_S: u64 = 60;

/// Runs that were asked for: one is in flight, the others wait for their turn.
#[derive(Debug)]
pub struct Queue {
    runs: Runs,
    state: Mutex<State>,
    arrival: Notify,
    last_took_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    running: Option<(Uuid, StopSignal)>,
    /// The process stops: nothing that waits begins.
    is_closed: bool,
}

/// A run that waits, and the span of whoever asked for it.
#[derive(Debug)]
pub struct Waiting {
    pub record: Record,
    pub request: Option<SpanIds>,
}

/// Outcome of a request to cancel a run.
#[derive(Debug)]
pub enum Cancelled {
    /// It waited, and is over.
    Ended(Box<Record>),
    /// It runs, and ends soon.
    Asked(Box<Record>),
    /// It was over before.
    Over(Box<Record>),
    /// It runs, and the platform starts with it.
    Needed,
    Unknown,
}

/// Reason for which no run is taken.
#[derive(Debug)]
pub enum Refused {
    /// Seconds until a place should be free.
    Full { waiting: usize, retry_after: u64 },
    /// The process stops.
    Closed,
}

impl Queue {
    pub fn new(runs: Runs) -> Self {
        Self {
            runs,
            state: Mutex::default(),
            arrival: Notify::new(),
            last_took_ms: AtomicU64::new(0),
        }
    }

    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Writes the run down and lets it wait. Blocks for the file.
    pub fn submit(
        &self,
        record: Record,
        request: Option<SpanIds>,
    ) -> Result<std::result::Result<(), Refused>> {
        let mut state = self.lock();
        if state.is_closed {
            return Ok(Err(Refused::Closed));
        }
        if state.waiting.len() >= WAITING_MAX {
            let seconds = self.last_took_ms.load(Ordering::Relaxed).div_ceil(1000);
            return Ok(Err(Refused::Full {
                waiting: state.waiting.len(),
                retry_after: seconds.clamp(1, RETRY_AFTER_MAX_S),
            }));
        }
        if let Err(error) = self.runs.save(&record) {
            self.runs.forget(record.run_id);
            return Err(error);
        }
        state.waiting.push_back(Waiting { record, request });
        publish_depth(&state);
        drop(state);
        self.arrival.notify_one();
        Ok(Ok(()))
    }

    /// Ends a run that waits, or asks one that runs to end. Blocks for the file; a record that cannot be written does not
    /// keep the run alive.
    pub fn cancel(&self, id: Uuid) -> Cancelled {
        let mut state = self.lock();
        let at = state
            .waiting
            .iter()
            .position(|waiting| waiting.record.run_id == id);
        if let Some(mut waiting) = at.and_then(|at| state.waiting.remove(at)) {
            publish_depth(&state);
            let why = "it was cancelled before it began".to_owned();
            waiting.record.end(Status::Cancelled, Some(why));
            if let Err(error) = self.runs.save(&waiting.record) {
                let run_id = id.to_string();
                ops_layer::log::warn!("run_not_recorded", run_id = run_id, error = chain(&error));
            }
            domain_metrics::orchestrator_runs_total(domain_metrics::RunStatus::Cancelled).inc();
            return Cancelled::Ended(Box::new(waiting.record));
        }
        let Some(mut record) = self.runs.get(id).map(Box::new) else {
            return Cancelled::Unknown;
        };
        match &state.running {
            Some((running, signal)) if *running == id && !record.status.is_over() => {
                signal.stop();
                // taken, and perhaps not written down as such yet
                record.status = Status::Running;
                Cancelled::Asked(record)
            }
            // the first load never waited
            _ if !record.status.is_over() => Cancelled::Needed,
            _ => Cancelled::Over(record),
        }
    }

    /// Ends the runs that wait as `interrupted`, and takes no other: the process stops. Blocks for the files.
    pub fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_closed = true;
            let waiting = std::mem::take(&mut state.waiting);
            publish_depth(&state);
            waiting
        };
        for Waiting { record, .. } in waiting {
            let why = "its process stopped before it began";
            self.runs.interrupt(record, why);
        }
    }

    /// Waits for the next run, which is in flight from here on, and returns it with the signal that cancels it.
    pub async fn next(&self) -> (Waiting, StopSignal) {
        loop {
            let arrival = self.arrival.notified();
            if let Some(next) = self.take() {
                return next;
            }
            arrival.await;
        }
    }

    fn take(&self) -> Option<(Waiting, StopSignal)> {
        let mut state = self.lock();
        let next = state.waiting.pop_front()?;
        publish_depth(&state);
        let signal = StopSignal::manual();
        state.running = Some((next.record.run_id, signal.clone()));
        Some((next, signal))
    }

    /// Nothing is in flight any more.
    pub fn ended(&self, record: &Record) {
        self.lock().running = None;
        let took = record.took_ms.unwrap_or_default();
        self.last_took_ms.store(took, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn publish_depth(state: &State) {
    domain_metrics::orchestrator_queue_depth().set(state.waiting.len() as f64);
}

#[cfg(test)]
mod tests {
    use super::super::job::Job;
    use super::*;

    #[test]
    fn a_run_that_runs_without_having_waited_is_not_over() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::new(Runs::open(dir.path()).unwrap());
        let mut record = Record::new(Job::Load, None);
        record.status = Status::Running;
        queue.runs().save(&record).unwrap();
        let cancelled = queue.cancel(record.run_id);
        assert!(matches!(cancelled, Cancelled::Needed), "{cancelled:?}");
        record.end(Status::Success, None);
        queue.runs().save(&record).unwrap();
        let cancelled = queue.cancel(record.run_id);
        assert!(matches!(cancelled, Cancelled::Over(_)), "{cancelled:?}");
    }
}
