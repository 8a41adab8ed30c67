use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;

use super::{batch, console};
use crate::export::breaker::{Breaker, Change};
use crate::export::state::{ExportState, Reply};
use crate::stats::{FailureKind, add};

/// Where spans go.
#[derive(Debug)]
pub(crate) enum Destination {
    Otlp(Box<opentelemetry_otlp::SpanExporter>),
    Console,
    /// Only to the ring of recent traces.
    Nowhere,
}

/// Counts what became of each batch and never reports an error upstream, which would log one line per batch.
#[derive(Debug)]
pub(crate) struct CountingExporter {
    pub(crate) state: Arc<ExportState>,
    pub(crate) destination: Destination,
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) url: String,
    /// Whether the last answer refused a part of its batch.
    pub(crate) rejecting: Mutex<bool>,
}

impl SpanExporter for CountingExporter {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            let dropped = &self.state.counters.attributes_dropped;
            self.state.limits.apply(span, dropped);
            self.state.ring.add(span);
        }
        match &self.destination {
            Destination::Otlp(otlp) => {
                for part in batch::parts(batch) {
                    self.deliver(otlp, part).await;
                }
            }
            Destination::Console => {
                console::write(&batch);
                self.not_sent(batch.len());
            }
            Destination::Nowhere => self.not_sent(batch.len()),
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Destination::Otlp(otlp) = &mut self.destination {
            otlp.set_resource(resource);
        }
    }
}

impl CountingExporter {
    fn not_sent(&self, spans: usize) {
        self.state
            .record_outcome(spans, |counters| add(&counters.no_exporter, spans));
    }

    async fn deliver(&self, otlp: &opentelemetry_otlp::SpanExporter, part: Vec<SpanData>) {
        let (spans, state) = (part.len(), &self.state);
        if let Some(left) = state.remaining_budget()
            && (left.is_zero() || self.breaker.lock().is_open())
        {
            return state.record_outcome(spans, |counters| add(&counters.shutdown, spans));
        }
        if !self.breaker.lock().allows(Instant::now()) {
            return state.record_outcome(spans, |counters| add(&counters.circuit_open, spans));
        }
        *state.reply.lock() = Reply::default();
        let started = Instant::now();
        let outcome = without_panic(otlp.export(part)).await;
        state.exported_in(started.elapsed());
        let reply = std::mem::take(&mut *state.reply.lock());
        match outcome {
            Ok(()) => self.accepted(spans, &reply),
            Err(error) => {
                let failure = reply.failure.unwrap_or((FailureKind::Other, error));
                self.failed(spans, failure);
            }
        }
    }

    fn accepted(&self, spans: usize, reply: &Reply) {
        let rejected = reply.rejected.min(spans as u64);
        self.state.record_outcome(spans, |counters| {
            counters.rejected.fetch_add(rejected, Relaxed);
            let exported = spans as u64 - rejected;
            counters.exported.fetch_add(exported, Relaxed);
            add(&counters.partial_successes, usize::from(rejected > 0));
            counters.down.store(false, Relaxed);
        });
        let change = self.breaker.lock().succeeded(Instant::now());
        if let Some(Change::Closed { outage }) = change {
            self.tell_recovered(outage);
        }
        self.tell_rejections(rejected, &reply.message);
    }

    fn failed(&self, spans: usize, (kind, cause): (FailureKind, String)) {
        self.state.record_outcome(spans, |counters| {
            add(&counters.export_failed, spans);
            counters.failed(kind);
            counters.down.store(true, Relaxed);
        });
        let change = self.breaker.lock().failed(Instant::now());
        if change == Some(Change::Opened) {
            let dropped = self.dropped();
            tracing::warn!(
                target: "ops_trace", endpoint = self.url, cause, dropped,
                queue_capacity = self.state.queue_capacity, "trace_export_failing"
            );
        }
    }

    fn tell_recovered(&self, outage: Duration) {
        let outage_ms = u64::try_from(outage.as_millis()).unwrap_or(u64::MAX);
        let dropped = self.dropped();
        tracing::info!(
            target: "ops_trace", endpoint = self.url, outage_ms, dropped, "trace_export_recovered"
        );
    }

    /// Once when the collector begins to refuse spans, and once when it takes all of them again.
    fn tell_rejections(&self, rejected: u64, message: &str) {
        let was = std::mem::replace(&mut *self.rejecting.lock(), rejected > 0);
        match (was, rejected > 0) {
            (false, true) => tracing::warn!(
                target: "ops_trace", endpoint = self.url, rejected, reason = message, "trace_spans_rejected"
            ),
            (true, false) => tracing::info!(
                target: "ops_trace", endpoint = self.url, "trace_spans_accepted_again"
            ),
            _ => {}
        }
    }

    fn dropped(&self) -> u64 {
        self.state.counters.read(0).dropped()
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
