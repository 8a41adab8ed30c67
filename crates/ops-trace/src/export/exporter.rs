use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

use super::batch::Part;
use super::encode::EncodedBriefs;
use super::{batch, console};
use crate::brief::Batch;
use crate::export::breaker::{Breaker, Change};
use crate::export::collector::Collector;
use crate::export::reply::{FailedExport, MAX_MESSAGE_BYTES, Reply};
use crate::export::state::ExportState;
use crate::limits::cut;
use crate::stats::{Counters, add};

/// Exports batches on the export thread, and counts the outcome of each.
#[derive(Debug)]
pub(crate) struct CountingExporter {
    pub(crate) state: Arc<ExportState>,
    pub(crate) otlp: Option<Collector>,
    pub(crate) console: bool,
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) collector_state: Mutex<CollectorState>,
    /// Maximum number of spans in a request.
    pub(crate) batch_spans: usize,
    /// Scope of the brief spans.
    pub(crate) scope: InstrumentationScope,
    pub(crate) briefs: EncodedBriefs,
    /// Number of sampled spans of the batch whose outcome is not counted yet.
    pub(crate) uncounted: Cell<usize>,
}

/// State of a collector after the last batch that it accepted.
#[derive(Debug, Default)]
pub(crate) enum CollectorState {
    #[default]
    AcceptsAll,
    /// Accepted all spans, with this message.
    AcceptsWithMessage(String),
    /// Rejected a part of the batch.
    Rejects,
}

/// A limit below this may drop attributes of brief spans, which have fewer attributes than this.
const BRIEF_ATTRIBUTES: usize = 32;

impl CountingExporter {
    /// Exports a batch. A panic, which comes from a subscriber, would end
    /// the thread: the spans not counted before it count as failed instead.
    pub(crate) fn export(&mut self, batch: &mut Batch) {
        let is_sampled = |span: &&SpanData| span.span_context.is_sampled();
        let sampled = batch.spans.iter().filter(is_sampled).count() + batch.briefs.len();
        self.uncounted.set(sampled);
        if catch_unwind(AssertUnwindSafe(|| self.export_batch(batch))).is_ok() {
            return;
        }
        let rest = self.uncounted.get();
        self.count(rest, |counters| add(&counters.export_failed, rest));
        // the subscriber may panic again
        let _ = catch_unwind(|| {
            tracing::error!(target: "ops_trace", "trace_export_panicked");
        });
    }

    fn export_batch(&mut self, batch: &mut Batch) {
        let state = Arc::clone(&self.state);
        if self.console || state.limits.attributes < BRIEF_ATTRIBUTES {
            batch.expand_all(&self.scope);
        }
        let cleaner = state.limits.cleaner();
        let dropped = &state.counters.attributes_dropped;
        cleaner.clean_batch(&mut batch.spans, dropped);
        state.ring.add_all(batch, &cleaner, &self.scope);
        let all = batch.spans.len();
        batch.spans.retain(|span| span.span_context.is_sampled());
        let for_ring = all - batch.spans.len();
        let queued_for_ring = &state.counters.queued_for_ring;
        queued_for_ring.fetch_sub(for_ring, Relaxed);
        if batch.is_empty() {
            return;
        }
        if self.console {
            console::write(&batch.spans);
        }
        let Some(otlp) = &self.otlp else {
            return self.not_sent(batch.len());
        };
        self.briefs.write(batch, &cleaner, &self.scope);
        for part in batch::parts(&batch.spans, &self.briefs, self.batch_spans) {
            self.deliver(otlp, &part);
        }
        self.briefs.clear();
    }

    fn not_sent(&self, spans: usize) {
        self.count(spans, |counters| add(&counters.no_exporter, spans));
    }

    /// Counts the outcome of spans of the batch.
    fn count(&self, spans: usize, count: impl FnOnce(&Counters)) {
        self.uncounted.update(|rest| rest - spans);
        self.state.record_outcome(spans, count);
    }

    fn deliver(&self, otlp: &Collector, part: &Part<'_>) {
        let (spans, state) = (part.len, &self.state);
        if let Some(left) = state.closing.remaining_budget()
            && (left.is_zero() || self.breaker.lock().is_open())
        {
            return self.count(spans, |counters| add(&counters.shutdown, spans));
        }
        if !self.breaker.lock().allows(Instant::now()) {
            return self.count(spans, |counters| add(&counters.circuit_open, spans));
        }
        *state.reply.lock() = Reply::default();
        let started = Instant::now();
        let outcome = without_panic(|| otlp.send(part, &self.scope));
        state.record_duration(started.elapsed());
        let reply = std::mem::take(&mut *state.reply.lock());
        match outcome {
            Ok(()) => self.accepted(&otlp.url, spans, reply),
            Err(cause) => {
                let failure = reply.failure.unwrap_or_else(|| FailedExport::other(cause));
                self.failed(&otlp.url, spans, failure);
            }
        }
    }

    fn accepted(&self, url: &str, spans: usize, reply: Reply) {
        let rejected = reply.rejected.min(spans as u64);
        self.count(spans, |counters| {
            counters.rejected.fetch_add(rejected, Relaxed);
            let exported = spans as u64 - rejected;
            counters.exported.fetch_add(exported, Relaxed);
            add(&counters.partial_successes, usize::from(rejected > 0));
            counters.down.store(false, Relaxed);
        });
        self.state.export_worked();
        let change = self.breaker.lock().succeeded(Instant::now());
        if let Some(Change::Closed { outage }) = change {
            self.log_recovered(url, outage);
        }
        self.log_partial_success(url, rejected, cut(reply.message, MAX_MESSAGE_BYTES));
    }

    fn failed(&self, url: &str, spans: usize, failure: FailedExport) {
        self.count(spans, |counters| {
            add(&counters.export_failed, spans);
            counters.failed(failure.kind);
            counters.down.store(true, Relaxed);
        });
        self.state.export_failed(&failure);
        let mut breaker = self.breaker.lock();
        let change = breaker.failed(Instant::now(), failure.retry_after);
        drop(breaker);
        if change == Some(Change::Opened) {
            let (cause, dropped) = (failure.cause, self.dropped());
            tracing::warn!(
                target: "ops_trace", endpoint = url, cause, dropped,
                queue_capacity = self.state.queue_capacity, "trace_export_failing"
            );
        }
    }

    fn log_recovered(&self, url: &str, outage: Duration) {
        let outage_ms = u64::try_from(outage.as_millis()).unwrap_or(u64::MAX);
        let dropped = self.dropped();
        tracing::info!(
            target: "ops_trace", endpoint = url, outage_ms, dropped, "trace_export_recovered"
        );
    }

    /// Logs once when the collector begins to reject spans, once when it
    /// accepts all of them again, and each new message in a success response.
    fn log_partial_success(&self, url: &str, rejected: u64, message: String) {
        let mut state = self.collector_state.lock();
        let was_rejecting = matches!(*state, CollectorState::Rejects);
        let known =
            matches!(&*state, CollectorState::AcceptsWithMessage(known) if *known == message);
        if rejected > 0 {
            *state = CollectorState::Rejects;
            drop(state);
            if !was_rejecting {
                tracing::warn!(
                    target: "ops_trace", endpoint = url, rejected, reason = message, "trace_spans_rejected"
                );
            }
            return;
        }
        let has_message = !message.is_empty();
        if has_message {
            *state = CollectorState::AcceptsWithMessage(message.clone());
        } else if was_rejecting {
            *state = CollectorState::AcceptsAll;
        }
        drop(state);
        if was_rejecting {
            tracing::info!(target: "ops_trace", endpoint = url, "trace_spans_accepted_again");
        }
        if has_message && !known {
            tracing::warn!(
                target: "ops_trace", endpoint = url, message_of_collector = message, "trace_collector_warning"
            );
        }
    }

    fn dropped(&self) -> u64 {
        self.state.counters.read(0).dropped()
    }
}

/// Turns a panic in the export into a failure: it would end the export thread.
fn without_panic(export: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(export))
        .unwrap_or_else(|_| Err("the exporter panicked".to_owned()))
}
