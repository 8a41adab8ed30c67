use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};

use crate::shared::Shared;
use crate::stats::add;

/// Lets a span into the queue or counts why not. The queue behind it is as long, so that it never drops itself.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: BatchSpanProcessor,
}

impl SpanProcessor for Gate {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let counters = &self.shared.counters;
        add(&counters.ended_sampled, 1);
        if self.shared.closing() {
            add(&counters.shutdown, 1);
            return;
        }
        let capacity = self.shared.queue_capacity;
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

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}
