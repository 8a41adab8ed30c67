use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};

use crate::export::state::ExportState;
use crate::stats::add;

/// Lets a span into the queue or counts why not. The queue behind it is as long, so that it never drops itself.
///
/// The provider is never shut down, only the queue is: spans that are made later still have ids for the log.
#[derive(Clone, Debug)]
pub(crate) struct QueueLimiter {
    pub(crate) state: Arc<ExportState>,
    pub(crate) queue: Arc<BatchSpanProcessor>,
}

impl QueueLimiter {
    /// Sends what waits until the budget is spent; what waits then is counted as lost. Blocks for that long.
    pub(crate) fn stop(&self, budget: Duration) {
        // an error says that time was up or that it was stopped before: the counts say the same
        let _ = self.queue.shutdown_with_timeout(budget);
        self.state.abandon();
    }
}

impl SpanProcessor for QueueLimiter {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let counters = &self.state.counters;
        add(&counters.ended_sampled, 1);
        if self.state.is_closing() {
            add(&counters.shutdown, 1);
            return;
        }
        let capacity = self.state.queue_capacity;
        let admitted = counters
            .queued
            .fetch_update(Relaxed, Relaxed, |n| (n < capacity).then_some(n + 1));
        if admitted.is_ok() {
            self.queue.on_end(span);
        } else {
            add(&counters.queue_full, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    /// Called when the last handle goes: then nobody is there to wait.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
