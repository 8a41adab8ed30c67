use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceFlags};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::ended::{self, EndedSpan};
use super::queue::Queue;
use super::tail::{TailBuffer, Verdict};
#[cfg(feature = "http")]
use crate::brief::{Brief, TEXTS};
use crate::export::state::ExportState;
use crate::recent::ring::{failed, took};
use crate::stats::add;

/// Maximum number of spans that wait only for the ring of recent traces: two batches of default size, so that the
/// export thread is woken before it is full.
const RING_QUEUE_SPANS: usize = 1024;

/// Maximum time for which a flush waits for the export.
const FLUSH_BUDGET: Duration = Duration::from_secs(5);

/// Admits spans to the queue, or counts why not.
///
/// Only the queue is shut down, never the provider: spans that are created later still have ids for the log.
#[derive(Clone, Debug)]
pub(crate) struct QueueLimiter {
    pub(crate) state: Arc<ExportState>,
    pub(crate) queue: Arc<Queue>,
    /// `None` if traces dropped by the sampler are not exported.
    pub(crate) tail: Option<Arc<TailBuffer>>,
}

impl QueueLimiter {
    /// Sends pending spans until the budget is spent; the rest is counted as lost. Blocks for up to that time.
    pub(crate) fn stop(&self, budget: Duration) {
        self.queue.close(budget);
        self.state.abandon();
    }

    /// Discards a request that is not sampled and did not fail, with the spans below it that wait for its end. Returns
    /// false, and discards nothing, if the request was slow or a span of its trace failed.
    #[cfg(feature = "http")]
    pub(crate) fn try_discard(&self, ids: &SpanContext, took: Duration) -> bool {
        let tail = self.tail.as_ref();
        took < self.state.ring.slow_after
            && tail.is_none_or(|tail| tail.try_discard(ids.trace_id(), ids.span_id()))
    }

    /// Adds a sampled brief span that has ended.
    #[cfg(feature = "http")]
    pub(crate) fn end_brief(&self, brief: Brief, texts: [&str; TEXTS]) {
        if self.admits() {
            self.queue.add(|batch| batch.push_brief(brief, texts));
        }
    }

    /// Counts a sampled span; returns true if it may enter the queue.
    /// The span is not passed, because moving it is expensive.
    fn admits(&self) -> bool {
        let counters = &self.state.counters;
        let missed = if self.state.closing.is_closing() {
            &counters.late
        } else if counters.admit(self.state.queue_capacity) {
            return true;
        } else {
            &counters.queue_full
        };
        add(missed, 1);
        false
    }

    fn end_unsampled(&self, span: SpanData) {
        let Some(tail) = &self.tail else {
            // a request that was recorded although it is not sampled
            if failed(&span) || took(&span) >= self.state.ring.slow_after {
                self.send_to_ring(span);
            }
            return;
        };
        match tail.end(span) {
            Verdict::Nothing => {}
            Verdict::Show(spans) => spans.into_iter().for_each(|span| self.send_to_ring(span)),
            Verdict::Export(spans) => {
                for mut span in spans {
                    if self.admits() {
                        span.span_context = sampled(&span.span_context);
                        self.queue.add(|batch| batch.spans.push(span));
                    }
                }
            }
        }
    }

    /// Sends a span to the ring of recent traces only.
    fn send_to_ring(&self, span: SpanData) {
        let for_ring = &self.state.counters.queued_for_ring;
        let admit = |n| (n < RING_QUEUE_SPANS).then_some(n + 1);
        let is_open = !self.state.closing.is_closing();
        if is_open && for_ring.fetch_update(Relaxed, Relaxed, admit).is_ok() {
            self.queue.add(|batch| batch.spans.push(span));
        } else {
            self.state.ring.count_missed();
        }
    }
}

impl SpanProcessor for QueueLimiter {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if ended::has_hook() {
            ended::call_hook(&EndedSpan::of(&span));
        }
        if !span.span_context.is_sampled() {
            self.end_unsampled(span);
        } else if self.admits() {
            self.queue.add(|batch| batch.spans.push(span));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        match self.queue.flush(FLUSH_BUDGET) {
            true => Ok(()),
            false => Err(OTelSdkError::Timeout(FLUSH_BUDGET)),
        }
    }

    /// Does nothing: it is called when the last handle is dropped, and nobody waits for it.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn sampled(ids: &SpanContext) -> SpanContext {
    SpanContext::new(
        ids.trace_id(),
        ids.span_id(),
        ids.trace_flags() | TraceFlags::SAMPLED,
        ids.is_remote(),
        ids.trace_state().clone(),
    )
}
