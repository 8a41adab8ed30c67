use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::export::closing::Closing;
use crate::export::reply::{FailedExport, Reply};
use crate::limits::Limits;
use crate::recent::ring::Ring;
use crate::stats::{Counters, ExportHealth, Stats};

/// Maximum number of export durations that are not published yet; further ones are dropped.
const MAX_EXPORT_SECONDS: usize = 256;

/// State shared by request threads, the export thread and readers.
#[derive(Debug)]
pub(crate) struct ExportState {
    pub(crate) counters: Counters,
    pub(crate) queue_capacity: usize,
    pub(crate) limits: Limits,
    pub(crate) ring: Ring,
    /// Result of the running export; written by the client, read by the exporter.
    pub(crate) reply: Arc<Mutex<Reply>>,
    pub(crate) closing: Arc<Closing>,
    /// Durations since the last publication.
    pub(crate) export_seconds: Mutex<Vec<f64>>,
    /// The last export, for operators.
    health: Mutex<ExportHealth>,
    failing_from: Mutex<Option<Instant>>,
    /// Locked while an outcome is counted; true once the remaining spans were counted as lost.
    abandoned: Mutex<bool>,
}

impl ExportState {
    pub(crate) fn new(queue_capacity: usize, limits: Limits, ring: Ring) -> Self {
        Self {
            counters: Counters::default(),
            queue_capacity,
            limits,
            ring,
            reply: Arc::default(),
            closing: Arc::default(),
            export_seconds: Mutex::default(),
            health: Mutex::default(),
            failing_from: Mutex::default(),
            abandoned: Mutex::default(),
        }
    }

    /// Counts the outcome of spans, unless they were abandoned before.
    pub(crate) fn record_outcome(&self, spans: usize, count: impl FnOnce(&Counters)) {
        let abandoned = self.abandoned.lock();
        if !*abandoned {
            count(&self.counters);
            self.counters.leave(spans);
        }
    }

    /// Counts the remaining spans as lost, because the budget of the shutdown is spent.
    pub(crate) fn abandon(&self) {
        let mut abandoned = self.abandoned.lock();
        *abandoned = true;
        self.count_lost();
    }

    pub(crate) fn stats(&self) -> Stats {
        let abandoned = self.abandoned.lock();
        if *abandoned {
            self.count_lost(); // a span that was passing the limiter when it closed
        }
        self.counters.read(self.queue_capacity)
    }

    fn count_lost(&self) {
        let lost = self.counters.leave_all();
        self.counters.shutdown.fetch_add(lost, Relaxed);
    }

    pub(crate) fn set_endpoint(&self, url: &str, is_default: bool) {
        let mut health = self.health.lock();
        health.endpoint = Some(url.to_owned());
        health.is_default_endpoint = is_default;
    }

    pub(crate) fn health(&self) -> ExportHealth {
        let failing_for = self.failing_from.lock().map(|from| from.elapsed());
        ExportHealth {
            failing_for,
            ..self.health.lock().clone()
        }
    }

    pub(crate) fn export_worked(&self) {
        self.health.lock().failing_since = None;
        *self.failing_from.lock() = None;
    }

    pub(crate) fn export_failed(&self, failure: &FailedExport) {
        self.failing_from.lock().get_or_insert_with(Instant::now);
        let mut health = self.health.lock();
        health.failing_since.get_or_insert_with(SystemTime::now);
        health.last_failure = Some(failure.cause.clone());
        health.last_status = failure.status;
        health.last_kind = Some(failure.kind.as_str());
    }

    /// Stores the duration of an export for [`publish_metrics`](crate::publish_metrics).
    pub(crate) fn record_duration(&self, duration: Duration) {
        self.health.lock().last_duration = Some(duration);
        let mut seconds = self.export_seconds.lock();
        if seconds.len() < MAX_EXPORT_SECONDS {
            seconds.push(duration.as_secs_f64());
        }
    }
}
