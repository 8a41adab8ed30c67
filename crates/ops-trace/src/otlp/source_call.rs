use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use opentelemetry_proto::tonic::metrics::v1::Metric;
use parking_lot::Mutex;

use crate::MetricsBatch;
use crate::signals::batch::MetricsSource;

/// A call of the source on a separate thread: one that hangs blocks neither log lines nor the shutdown.
#[derive(Debug)]
pub(super) struct SourceCall(Arc<Mutex<Option<SourceOutcome>>>);

/// Outcome of the call.
#[derive(Debug)]
pub(super) enum SourceOutcome {
    Metrics(Vec<Metric>),
    Panicked,
}

impl SourceCall {
    /// Calls the source, and unparks the current thread afterwards.
    ///
    /// # Errors
    /// Fails if the thread cannot be started.
    pub(super) fn start(source: &MetricsSource, mut batch: MetricsBatch) -> io::Result<Self> {
        let outcome = Arc::<Mutex<Option<SourceOutcome>>>::default();
        let (source, caller) = (source.clone(), std::thread::current());
        let result = Arc::clone(&outcome);
        let fill = move || {
            let filled = catch_unwind(AssertUnwindSafe(|| source.fill(&mut batch)));
            *result.lock() = Some(match filled {
                Ok(()) => SourceOutcome::Metrics(batch.metrics),
                Err(_) => SourceOutcome::Panicked,
            });
            caller.unpark();
        };
        let thread = std::thread::Builder::new().name("ops-trace-fill".to_owned());
        thread.spawn(fill)?;
        Ok(Self(outcome))
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Takes the result; `None` while the call runs.
    pub(super) fn take(&self) -> Option<SourceOutcome> {
        self.0.lock().take()
    }
}
