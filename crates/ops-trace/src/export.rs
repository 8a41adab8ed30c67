use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Instant;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;

use crate::breaker::{Breaker, Change};
use crate::shared::Shared;
use crate::stats::add;

/// Counts what became of each batch and never reports an error upstream, which would log one line per batch.
#[derive(Debug)]
pub(crate) struct CountingExporter {
    pub(crate) shared: Arc<Shared>,
    /// `None`: spans are kept for the ring and not sent.
    pub(crate) otlp: Option<opentelemetry_otlp::SpanExporter>,
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) url: String,
}

impl SpanExporter for CountingExporter {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        for span in &mut batch {
            keep_last_of_each_key(&mut span.attributes);
            self.shared.ring.add(span);
        }
        self.deliver(batch, spans).await;
        self.shared.counters.queued.fetch_sub(spans, Relaxed);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(otlp) = &mut self.otlp {
            otlp.set_resource(resource);
        }
    }
}

impl CountingExporter {
    async fn deliver(&self, batch: Vec<SpanData>, spans: usize) {
        let counters = &self.shared.counters;
        let Some(otlp) = &self.otlp else {
            return add(&counters.no_exporter, spans);
        };
        if let Some(left) = self.shared.left()
            && (left.is_zero() || self.breaker.lock().is_open())
        {
            return add(&counters.shutdown, spans);
        }
        if !self.breaker.lock().allows(Instant::now()) {
            return add(&counters.circuit_open, spans);
        }
        self.shared.rejected_now.store(0, Relaxed);
        let outcome = without_panic(otlp.export(batch)).await;
        let change = match &outcome {
            Ok(()) => self.accepted(spans),
            Err(_) => self.failed(spans),
        };
        if let Some(change) = change {
            self.tell(&change, outcome.err());
        }
    }

    fn accepted(&self, spans: usize) -> Option<Change> {
        let counters = &self.shared.counters;
        let rejected = self.shared.rejected_now.load(Relaxed).min(spans as u64);
        counters.rejected.fetch_add(rejected, Relaxed);
        counters
            .exported
            .fetch_add(spans as u64 - rejected, Relaxed);
        counters.down.store(false, Relaxed);
        self.breaker.lock().succeeded(Instant::now())
    }

    fn failed(&self, spans: usize) -> Option<Change> {
        let counters = &self.shared.counters;
        add(&counters.export_failed, spans);
        add(&counters.failures, 1);
        counters.down.store(true, Relaxed);
        self.breaker.lock().failed(Instant::now())
    }

    fn tell(&self, change: &Change, cause: Option<String>) {
        let dropped = self.shared.counters.read(0).dropped();
        match change {
            Change::Opened => tracing::warn!(
                target: "ops_trace", endpoint = self.url, cause, dropped,
                "trace_export_failing"
            ),
            Change::Closed { outage } => tracing::info!(
                target: "ops_trace", endpoint = self.url, outage_ms = outage.as_millis() as u64, dropped,
                "trace_export_recovered"
            ),
        }
    }
}

/// A panic in the export would end its thread for good, so that it counts as a failure instead.
async fn without_panic(export: impl Future<Output = OTelSdkResult>) -> Result<(), String> {
    let mut export = pin!(export);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| export.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(outcome)) => Poll::Ready(outcome.map_err(|e| e.to_string())),
            Err(_) => Poll::Ready(Err("the exporter panicked".to_owned())),
        },
    )
    .await
}

fn keep_last_of_each_key(attributes: &mut Vec<KeyValue>) {
    let mut at = attributes.len();
    while at > 0 {
        at -= 1;
        let (earlier, rest) = attributes.split_at(at);
        if let Some(first) = earlier.iter().position(|e| e.key == rest[0].key) {
            attributes.remove(first);
        }
    }
}
