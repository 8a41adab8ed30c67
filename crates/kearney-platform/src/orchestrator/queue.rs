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

/// Maximum number of queued runs; further ones are rejected.
const WAITING_MAX: usize = 16;
/// Maximum `Retry-After` of a rejected request, in seconds.
const RETRY_AFTER_MAX_S: u64 = 60;

/// Requested runs: one is in flight, the others are queued.
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
    /// Set when the process stops: no queued run starts any more.
    is_closed: bool,
}

/// A queued run, with the span of the request for it.
#[derive(Debug)]
pub struct Waiting {
    pub record: Record,
    pub request: Option<SpanIds>,
}

/// Outcome of a request to cancel a run.
#[derive(Debug)]
pub enum Cancelled {
    /// The run was queued, and has ended.
    Ended(Box<Record>),
    /// The run is in progress, and ends soon.
    Signaled(Box<Record>),
    /// The run had already ended.
    AlreadyEnded(Box<Record>),
    /// The run is the initial load, which cannot be cancelled.
    InitialLoad,
    Unknown,
}

/// Reason why a run is rejected.
#[derive(Debug)]
pub enum Refused {
    /// The queue is full; `retry_after` is in seconds.
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

    /// Records the run and queues it. Blocks on the file.
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

    /// Ends a queued run, or signals a running one to end. Blocks on the file; the run ends even if its record cannot
    /// be written.
    pub fn cancel(&self, id: Uuid) -> Cancelled {
        let mut state = self.lock();
        let at = state
            .waiting
            .iter()
            .position(|waiting| waiting.record.run_id == id);
        if let Some(mut waiting) = at.and_then(|at| state.waiting.remove(at)) {
            publish_depth(&state);
            let why = "the run was cancelled before it started".to_owned();
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
            Some((running, signal)) if *running == id && !record.status.has_ended() => {
                signal.stop();
                // already taken, but perhaps not recorded as running yet
                record.status = Status::Running;
                Cancelled::Signaled(record)
            }
            // the first load was never queued
            _ if !record.status.has_ended() => Cancelled::InitialLoad,
            _ => Cancelled::AlreadyEnded(record),
        }
    }

    /// Ends the queued runs as `interrupted` and accepts no more, as the process stops. Blocks on the files.
    pub fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_closed = true;
            let waiting = std::mem::take(&mut state.waiting);
            publish_depth(&state);
            waiting
        };
        for Waiting { record, .. } in waiting {
            let why = "the process stopped before the run started";
            self.runs.interrupt(record, why);
        }
    }

    /// Waits for the next run, marks it as in flight, and returns it with the signal that cancels it.
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

    /// Records that no run is in flight any more.
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
    fn a_run_that_was_never_queued_has_not_ended_and_cannot_be_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::new(Runs::open(dir.path()).unwrap());
        let mut record = Record::new(Job::Load, None);
        record.status = Status::Running;
        queue.runs().save(&record).unwrap();
        let cancelled = queue.cancel(record.run_id);
        assert!(matches!(cancelled, Cancelled::InitialLoad), "{cancelled:?}");
        record.end(Status::Success, None);
        queue.runs().save(&record).unwrap();
        let cancelled = queue.cancel(record.run_id);
        assert!(
            matches!(cancelled, Cancelled::AlreadyEnded(_)),
            "{cancelled:?}"
        );
    }
}
