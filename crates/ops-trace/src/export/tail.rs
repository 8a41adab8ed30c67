use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

use super::batch;
use crate::config::sampler::Keep;
use crate::recent::ring::{failed, took};
use crate::stats::add;

const SHARDS: usize = 16;
/// Maximum number of traces that wait for their end, in one of 16 shards.
const MAX_TRACES: usize = 128;
/// Maximum bytes of the spans that wait, in one of 16 shards: 16 MiB in all.
const MAX_BYTES: usize = 1024 * 1024;
/// Maximum number of spans of one trace that wait for its root, which is the 64th.
const MAX_WAITING: usize = 63;
/// Number of traces per shard whose late spans follow the decision.
const DECISIONS: usize = 64;

/// Holds the spans of traces that are not sampled until the root of this process ends, and then decides about all of
/// them: a tail decision inside the process.
#[derive(Debug)]
pub(crate) struct TailBuffer {
    keep: Keep,
    slow_after: Duration,
    shards: [Mutex<Shard>; SHARDS],
    evicted: AtomicU64,
}

/// Decision about spans.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// They wait, or are not needed.
    Nothing,
    /// They go to the ring of recent traces.
    Show(Vec<SpanData>),
    /// They go to the collector, too.
    Export(Vec<SpanData>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Drop,
    Show,
    Export,
}

#[derive(Debug, Default)]
struct Shard {
    waiting: HashMap<TraceId, Waiting>,
    /// In the order of their first span; some are gone already.
    order: VecDeque<TraceId>,
    bytes: usize,
    /// Decisions about the traces that were kept last.
    decisions: VecDeque<(TraceId, Fate)>,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<SpanData>,
    failed: bool,
    bytes: usize,
}

impl TailBuffer {
    pub(crate) fn new(keep: Keep, slow_after: Duration) -> Self {
        Self {
            keep,
            slow_after,
            shards: Default::default(),
            evicted: AtomicU64::new(0),
        }
    }

    /// Returns the number of spans that were dropped before their trace ended, because too many waited.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Takes a span that ended.
    pub(crate) fn end(&self, span: SpanData) -> Verdict {
        let id = span.span_context.trace_id();
        let shard = usize::from(id.to_bytes()[15]) % SHARDS;
        let mut shard = self.shards[shard].lock();
        let is_root = span.parent_span_id == SpanId::INVALID || span.parent_span_is_remote;
        if !is_root {
            return match shard.decision(id) {
                Fate::Drop => {
                    let evicted = shard.hold(id, span);
                    add(&self.evicted, evicted);
                    Verdict::Nothing
                }
                Fate::Show => Verdict::Show(vec![span]),
                Fate::Export => Verdict::Export(vec![span]),
            };
        }
        let (mut spans, child_failed) = shard.take(id, span.span_context.span_id());
        let fate = self.fate(child_failed || failed(&span), took(&span));
        if fate != Fate::Drop {
            shard.decide(id, fate);
        }
        drop(shard);
        match fate {
            Fate::Drop => return Verdict::Nothing,
            Fate::Show | Fate::Export => spans.push(span),
        }
        match fate {
            Fate::Export => Verdict::Export(spans),
            _ => Verdict::Show(spans),
        }
    }

    fn fate(&self, failed: bool, took: Duration) -> Fate {
        let slow = took >= self.slow_after;
        if failed && self.keep.errors || slow && self.keep.slow {
            Fate::Export
        } else if failed || slow {
            Fate::Show
        } else {
            Fate::Drop
        }
    }
}

impl Shard {
    fn decision(&self, id: TraceId) -> Fate {
        let known = self.decisions.iter().find(|(known, _)| *known == id);
        known.map_or(Fate::Drop, |(_, fate)| *fate)
    }

    fn decide(&mut self, id: TraceId, fate: Fate) {
        if self.decisions.len() == DECISIONS {
            self.decisions.pop_front();
        }
        self.decisions.push_back((id, fate));
    }

    /// Keeps a span until its root ends; returns how many spans that cost.
    fn hold(&mut self, id: TraceId, span: SpanData) -> usize {
        let mut evicted = 0;
        if !self.waiting.contains_key(&id) {
            if self.waiting.len() == MAX_TRACES {
                evicted += self.evict_oldest();
            }
            if self.order.len() >= 4 * MAX_TRACES {
                self.order.retain(|id| self.waiting.contains_key(id));
            }
            self.order.push_back(id);
        }
        let waiting = self.waiting.entry(id).or_default();
        waiting.failed |= failed(&span);
        if waiting.spans.len() == MAX_WAITING {
            return evicted + 1;
        }
        let bytes = batch::size(&span);
        waiting.bytes += bytes;
        waiting.spans.push(span);
        self.bytes += bytes;
        while self.bytes > MAX_BYTES && !self.order.is_empty() {
            evicted += self.evict_oldest();
        }
        evicted
    }

    fn evict_oldest(&mut self) -> usize {
        while let Some(oldest) = self.order.pop_front() {
            if let Some(waiting) = self.waiting.remove(&oldest) {
                self.bytes -= waiting.bytes;
                return waiting.spans.len();
            }
        }
        0
    }

    /// Takes the spans below a root; others of the same trace, below another root that still runs, stay.
    fn take(&mut self, id: TraceId, root: SpanId) -> (Vec<SpanData>, bool) {
        let Some(mut waiting) = self.waiting.remove(&id) else {
            return (Vec::new(), false);
        };
        self.bytes -= waiting.bytes;
        let family = family(root, &waiting.spans);
        let is_below = |span: &mut SpanData| family.contains(&span.span_context.span_id());
        let taken: Vec<SpanData> = waiting.spans.extract_if(.., is_below).collect();
        let has_failed = waiting.failed;
        if !waiting.spans.is_empty() {
            waiting.bytes = waiting.spans.iter().map(batch::size).sum();
            waiting.failed = waiting.spans.iter().any(failed);
            self.bytes += waiting.bytes;
            self.waiting.insert(id, waiting);
        }
        let failed = has_failed && (taken.iter().any(failed) || taken.len() == MAX_WAITING);
        (taken, failed)
    }
}

/// Returns the root and all spans below it. A child ends before its parent, as a rule, so that the first round from the
/// back finds all.
fn family(root: SpanId, spans: &[SpanData]) -> Vec<SpanId> {
    let mut family = Vec::with_capacity(spans.len() + 1);
    family.push(root);
    loop {
        let before = family.len();
        for span in spans.iter().rev() {
            let id = span.span_context.span_id();
            if family.contains(&span.parent_span_id) && !family.contains(&id) {
                family.push(id);
            }
        }
        if family.len() == before || family.len() == spans.len() + 1 {
            return family;
        }
    }
}
