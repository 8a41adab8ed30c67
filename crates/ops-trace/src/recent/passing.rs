use std::time::{Duration, SystemTime};

use opentelemetry::trace::TraceId;

use super::ring::failed;
use crate::brief::{Batch, BatchSpan};

/// Spans of one trace in a batch.
struct Part {
    id: TraceId,
    first: usize,
    last: usize,
    start: SystemTime,
    end: SystemTime,
    /// True if all spans are sampled and none failed.
    is_ordinary: bool,
    /// True if the ring treats this as a new trace: an unsampled trace is put aside and evicts nothing.
    is_new: bool,
}

/// Returns which spans of a batch the ring would keep only briefly: those of ordinary traces after which so many others
/// begin that they are evicted before the batch ends. `known` are the traces already in the ring.
pub(super) fn passing(
    batch: &Batch,
    known: impl Iterator<Item = TraceId>,
    traces: usize,
    slow_after: Duration,
) -> Vec<bool> {
    let mut passing = vec![false; batch.len()];
    let ends: Vec<End> = batch.in_order().map(End::of).collect();
    let mut parts = parts(&ends);
    for id in known {
        if let Ok(at) = parts.binary_search_by_key(&id.to_bytes(), |part| part.id.to_bytes()) {
            parts.remove(at);
        }
    }
    // number of new traces that begin before each position
    let mut begun = vec![0; batch.len() + 1];
    for part in &parts {
        begun[part.first + 1] = usize::from(part.is_new);
    }
    for at in 1..begun.len() {
        begun[at] += begun[at - 1];
    }
    let all = begun[batch.len()];
    let is_passing = |part: &&Part| {
        let took = part.end.duration_since(part.start).unwrap_or_default();
        part.is_ordinary
            && took < slow_after
            && begun[part.last + 1] - begun[part.first + 1] < traces
            && all - begun[part.last + 1] >= traces
    };
    for part in parts.iter().filter(is_passing) {
        for (passes, end) in passing[part.first..=part.last]
            .iter_mut()
            .zip(&ends[part.first..=part.last])
        {
            *passes |= end.id == part.id;
        }
    }
    passing
}

/// The parts of an ended span that are needed here.
struct End {
    id: TraceId,
    start: SystemTime,
    end: SystemTime,
    is_sampled: bool,
    failed: bool,
}

impl End {
    fn of(ended: BatchSpan<'_>) -> Self {
        match ended {
            BatchSpan::Span(span) => Self {
                id: span.span_context.trace_id(),
                start: span.start_time,
                end: span.end_time,
                is_sampled: span.span_context.is_sampled(),
                failed: failed(span),
            },
            BatchSpan::Brief(waiting) => Self {
                id: waiting.brief.ids.trace_id(),
                start: waiting.brief.start,
                end: waiting.brief.end,
                is_sampled: true,
                failed: false,
            },
        }
    }
}

/// Returns the traces of a batch, ordered by id.
fn parts(ends: &[End]) -> Vec<Part> {
    let mut order: Vec<usize> = (0..ends.len()).collect();
    order.sort_unstable_by_key(|at| (ends[*at].id.to_bytes(), *at));
    let mut parts: Vec<Part> = Vec::with_capacity(ends.len());
    for at in order {
        let end = &ends[at];
        let is_ordinary = end.is_sampled && !end.failed;
        match parts.last_mut() {
            Some(part) if part.id == end.id => {
                part.last = at;
                part.start = part.start.min(end.start);
                part.end = part.end.max(end.end);
                part.is_ordinary &= is_ordinary;
            }
            _ => parts.push(Part {
                id: end.id,
                first: at,
                last: at,
                start: end.start,
                end: end.end,
                is_ordinary,
                is_new: end.is_sampled,
            }),
        }
    }
    parts
}
