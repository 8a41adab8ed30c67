use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::{Mutex, MutexGuard};

use super::batch;
use crate::config::sampler::Keep;
use crate::recent::ring::{failed, took};
use crate::stats::add;

const SHARDS: usize = 16;
/// Maximum number of traces that wait for their end, in each of 16 shards.
const MAX_TRACES: usize = 128;
/// Maximum bytes of the waiting spans, in each of 16 shards: 16 MiB in total.
const MAX_BYTES: usize = 1024 * 1024;
/// Maximum number of spans of one trace that wait for its root, which is the 64th.
const MAX_WAITING: usize = 63;
/// Number of roots per shard for which late spans follow the decision.
const DECISIONS: usize = 64;
/// Maximum number of spans per decision for which late children follow it.
const MAX_KEPT: usize = 256;

/// Holds the spans of unsampled traces until the root of this process ends,
/// and then decides about all of them: tail sampling inside the process.
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
    /// The spans wait, or are dropped.
    Nothing,
    /// The spans are added to the ring of recent traces.
    Show(Vec<SpanData>),
    /// The spans are sent to the collector too.
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
    /// Ordered by their first span. The newest traces usually end first, so they are searched from the back.
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Decisions about the last roots that were kept.
    decisions: VecDeque<Decision>,
}

/// Decision about a root. A trace may have several roots here, such
/// as a request and its retry: only spans below a root follow it.
#[derive(Debug)]
struct Decision {
    id: TraceId,
    fate: Fate,
    /// Spans that were kept, including the root.
    kept: Vec<SpanId>,
}

#[derive(Debug)]
struct Waiting {
    id: TraceId,
    spans: Vec<SpanData>,
    failed: bool,
    /// True if a failed span was dropped, so that it is unknown which root it was below.
    has_lost_failure: bool,
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

    /// Returns the number of spans that were dropped before their trace ended, because too many were waiting.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    fn shard(&self, id: TraceId) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(id.to_bytes()[15]) % SHARDS].lock()
    }

    /// Drops the spans below a root that was not slow and did not fail.
    /// Returns false, and drops nothing, if a span of the trace failed.
    #[cfg(feature = "http")]
    pub(crate) fn try_discard(&self, id: TraceId, root: SpanId) -> bool {
        let mut shard = self.shard(id);
        let waiting = shard.position(id).map(|at| &shard.waiting[at]);
        if waiting.is_some_and(|waiting| waiting.failed) {
            return false;
        }
        let spans = shard.take(id, root);
        drop(shard);
        drop(spans);
        true
    }

    /// Decides about a span that ended.
    pub(crate) fn end(&self, span: SpanData) -> Verdict {
        let id = span.span_context.trace_id();
        let mut shard = self.shard(id);
        let is_root = span.parent_span_id == SpanId::INVALID || span.parent_span_is_remote;
        let decision = match is_root {
            true => None,
            false => shard.decision(id, span.parent_span_id),
        };
        if !is_root && decision.is_none() {
            let evicted = shard.hold(span);
            add(&self.evicted, evicted);
            return Verdict::Nothing;
        }
        let (mut spans, child_failed) = shard.take(id, span.span_context.span_id());
        let fate = match decision {
            Some((_, fate)) => fate,
            None => self.fate(child_failed || failed(&span), took(&span)),
        };
        if fate == Fate::Drop {
            drop(shard);
            return Verdict::Nothing;
        }
        spans.push(span);
        shard.remember(decision.map(|(at, _)| at), id, fate, &spans);
        drop(shard);
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
    /// Returns the decision that kept this span, and its index.
    fn decision(&self, id: TraceId, span: SpanId) -> Option<(usize, Fate)> {
        let mut decisions = self.decisions.iter().enumerate();
        let kept = decisions.find(|(_, known)| known.id == id && known.kept.contains(&span));
        kept.map(|(at, decision)| (at, decision.fate))
    }

    /// Adds the kept spans to their decision, or to a new one, for spans below them that end later.
    fn remember(&mut self, known: Option<usize>, id: TraceId, fate: Fate, spans: &[SpanData]) {
        let at = known.unwrap_or_else(|| {
            if self.decisions.len() == DECISIONS {
                self.decisions.pop_front();
            }
            let kept = Vec::with_capacity(spans.len());
            self.decisions.push_back(Decision { id, fate, kept });
            self.decisions.len() - 1
        });
        if let Some(decision) = self.decisions.get_mut(at) {
            let ids = spans.iter().rev().map(|span| span.span_context.span_id());
            let room = MAX_KEPT.saturating_sub(decision.kept.len());
            decision.kept.extend(ids.take(room));
        }
    }

    fn position(&self, id: TraceId) -> Option<usize> {
        self.waiting.iter().rposition(|waiting| waiting.id == id)
    }

    /// Holds a span until its root ends; returns the number of spans evicted for it.
    fn hold(&mut self, span: SpanData) -> usize {
        let id = span.span_context.trace_id();
        let mut evicted = 0;
        let at = self.position(id).unwrap_or_else(|| {
            if self.waiting.len() == MAX_TRACES {
                evicted += self.evict_oldest();
            }
            self.waiting.push_back(Waiting::new(id));
            self.waiting.len() - 1
        });
        let waiting = &mut self.waiting[at];
        waiting.failed |= failed(&span);
        if waiting.spans.len() == MAX_WAITING {
            self.bytes -= waiting.drop_leaf();
            evicted += 1;
        }
        let bytes = batch::size(&span);
        waiting.bytes += bytes;
        waiting.spans.push(span);
        self.bytes += bytes;
        while self.bytes > MAX_BYTES && !self.waiting.is_empty() {
            evicted += self.evict_oldest();
        }
        evicted
    }

    fn evict_oldest(&mut self) -> usize {
        self.waiting.pop_front().map_or(0, |oldest| {
            self.bytes -= oldest.bytes;
            oldest.spans.len()
        })
    }

    /// Removes and returns the spans below a root, and true if one of them failed. Spans of the same trace below
    /// another root that is still running stay.
    fn take(&mut self, id: TraceId, root: SpanId) -> (Vec<SpanData>, bool) {
        let Some(at) = self.position(id) else {
            return (Vec::new(), false);
        };
        let waiting = &mut self.waiting[at];
        let below = below(root, &waiting.spans);
        if below.count_ones() as usize == waiting.spans.len() {
            self.bytes -= waiting.bytes;
            let all = self.waiting.remove(at);
            return all.map_or_else(Default::default, |all| (all.spans, all.failed));
        }
        let mut bit = 1;
        let is_below = |_: &mut SpanData| {
            let is_below = below & bit != 0;
            bit <<= 1;
            is_below
        };
        let taken: Vec<SpanData> = waiting.spans.extract_if(.., is_below).collect();
        let has_failed = waiting.has_lost_failure || waiting.failed && taken.iter().any(failed);
        let bytes: usize = taken.iter().map(batch::size).sum();
        waiting.failed = waiting.has_lost_failure || waiting.spans.iter().any(failed);
        waiting.bytes -= bytes;
        self.bytes -= bytes;
        (taken, has_failed)
    }
}

impl Waiting {
    fn new(id: TraceId) -> Self {
        Self {
            id,
            spans: Vec::new(),
            failed: false,
            has_lost_failure: false,
            bytes: 0,
        }
    }

    /// Drops the oldest span without children, so that the remaining ones stay connected with the root; a failed one
    /// is dropped only if all spans without children failed. Returns the dropped bytes.
    fn drop_leaf(&mut self) -> usize {
        let spans = &self.spans;
        let is_leaf = |span: &SpanData| {
            let id = span.span_context.span_id();
            !spans.iter().any(|other| other.parent_span_id == id)
        };
        let works = |span: &SpanData| !failed(span) && is_leaf(span);
        let at = spans.iter().position(works);
        let at = at.or_else(|| spans.iter().position(is_leaf));
        let dropped = self.spans.remove(at.unwrap_or_default());
        self.has_lost_failure |= failed(&dropped);
        let bytes = batch::size(&dropped);
        self.bytes -= bytes;
        bytes
    }
}

/// Returns a bit for each span below the root, of at most [`MAX_WAITING`] spans. A child usually ends before its
/// parent, so that the first pass from the back finds all of them.
fn below(root: SpanId, spans: &[SpanData]) -> u64 {
    let mut below = 0_u64;
    loop {
        let before = below;
        for (at, span) in spans.iter().enumerate().rev() {
            let parent = span.parent_span_id;
            let is_below = |id| {
                let mut others = spans.iter().enumerate();
                others.any(|(at, other)| below & 1 << at != 0 && other.span_context.span_id() == id)
            };
            if below & 1 << at == 0 && (parent == root || is_below(parent)) {
                below |= 1 << at;
            }
        }
        if below == before || below.count_ones() as usize == spans.len() {
            return below;
        }
    }
}
