use std::time::{Duration, SystemTime};

use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::SpanData;

use super::ring::failed;

/// The spans of one trace in a batch.
struct Part {
    id: TraceId,
    first: usize,
    last: usize,
    start: SystemTime,
    end: SystemTime,
    /// Set if all of them are sampled and none failed.
    ordinary: bool,
    /// Set if the ring takes it for a new trace: what is not sampled is put aside, and pushes nothing out.
    begins: bool,
}

/// Returns which spans of a batch the ring would hold for a moment only: those of ordinary traces behind which so many others
/// begin that they are evicted before the batch ends. `known` are the traces that it holds already.
pub(super) fn passing(
    batch: &[SpanData],
    known: impl Iterator<Item = TraceId>,
    traces: usize,
    slow_after: Duration,
) -> Vec<bool> {
    let mut passing = vec![false; batch.len()];
    let mut parts = parts(batch);
    for id in known {
        if let Ok(at) = parts.binary_search_by_key(&id.to_bytes(), |part| part.id.to_bytes()) {
            parts.remove(at);
        }
    }
    // number of new traces that begin before each place
    let mut begun = vec![0; batch.len() + 1];
    for part in &parts {
        begun[part.first + 1] = usize::from(part.begins);
    }
    for at in 1..begun.len() {
        begun[at] += begun[at - 1];
    }
    let all = begun[batch.len()];
    let is_passing = |part: &&Part| {
        let took = part.end.duration_since(part.start).unwrap_or_default();
        part.ordinary
            && took < slow_after
            && begun[part.last + 1] - begun[part.first + 1] < traces
            && all - begun[part.last + 1] >= traces
    };
    for part in parts.iter().filter(is_passing) {
        for (passes, span) in passing[part.first..=part.last]
            .iter_mut()
            .zip(&batch[part.first..=part.last])
        {
            *passes |= span.span_context.trace_id() == part.id;
        }
    }
    passing
}

/// The traces of a batch, in the order of their ids.
fn parts(batch: &[SpanData]) -> Vec<Part> {
    let mut order: Vec<usize> = (0..batch.len()).collect();
    order.sort_unstable_by_key(|at| (batch[*at].span_context.trace_id().to_bytes(), *at));
    let mut parts: Vec<Part> = Vec::with_capacity(batch.len());
    for at in order {
        let span = &batch[at];
        let id = span.span_context.trace_id();
        let sampled = span.span_context.is_sampled();
        let ordinary = sampled && !failed(span);
        match parts.last_mut() {
            Some(part) if part.id == id => {
                part.last = at;
                part.start = part.start.min(span.start_time);
                part.end = part.end.max(span.end_time);
                part.ordinary &= ordinary;
            }
            _ => parts.push(Part {
                id,
                first: at,
                last: at,
                start: span.start_time,
                end: span.end_time,
                ordinary,
                begins: sampled,
            }),
        }
    }
    parts
}
