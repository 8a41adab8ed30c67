use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, Status, TraceId};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

use crate::limits::cut;

const RECENT_TRACES: usize = 50;
const KEPT_TRACES: usize = 20;
const SPANS_PER_TRACE: usize = 64;
const ATTRIBUTES_PER_SPAN: usize = 32;
const TEXT_BYTES: usize = 256;
/// All together; beyond that the oldest go first.
const RING_BYTES: usize = 4 * 1024 * 1024;
/// What a span takes besides its texts, about.
const SPAN_BYTES: usize = 256;

/// The traces of late, newest first.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct RecentTraces {
    /// The last 50.
    pub recent: Vec<RecentTrace>,
    /// Those that were slow, 1 s or more unless configured: of the last 50, and 20 older ones.
    pub slow: Vec<RecentTrace>,
    /// Those with an error: of the last 50, and 20 older ones.
    pub errors: Vec<RecentTrace>,
}

/// One trace, as far as this process made it.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RecentTrace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// When its earliest span began.
    pub start: SystemTime,
    /// From the earliest start to the latest end.
    pub duration: Duration,
    /// Whether a span of it failed.
    pub error: bool,
    /// In order of their start; at most 64.
    pub spans: Vec<RecentSpan>,
    /// How many spans were left out.
    pub spans_left_out: u64,
}

/// One span: a bar of the waterfall.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RecentSpan {
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The parent's id, which may be of another process; `None` where the trace began.
    pub parent_span_id: Option<String>,
    /// Its name.
    pub name: String,
    /// When it began.
    pub start: SystemTime,
    /// How long it ran.
    pub duration: Duration,
    /// Whether it failed.
    pub error: bool,
    /// Its attributes as text: the first 32, each cut after 256 bytes.
    pub attributes: Vec<(String, String)>,
}

/// Filled on the export thread, so that no request pays for it.
#[derive(Debug)]
pub(crate) struct Ring {
    slow_after: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    recent: VecDeque<Entry>,
    slow: VecDeque<Entry>,
    errors: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    id: TraceId,
    trace: Arc<RecentTrace>,
    bytes: usize,
}

impl Ring {
    pub(crate) fn new(slow_after: Duration) -> Self {
        Self {
            slow_after,
            kept: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, data: &SpanData) {
        let id = data.span_context.trace_id();
        let span = RecentSpan::new(data);
        let mut kept = self.kept.lock();
        match kept.find(id) {
            Some(entry) => {
                let more = entry.add(span);
                kept.bytes += more;
            }
            None => kept.begin(id, span, self.slow_after),
        }
        kept.shrink();
    }

    pub(crate) fn read(&self) -> RecentTraces {
        // the lock is held for copies of pointers only: the export thread fills it meanwhile
        let kept = self.kept.lock();
        let recent = traces(&kept.recent);
        let (slow, errors) = (traces(&kept.slow), traces(&kept.errors));
        drop(kept);
        let is_slow = |trace: &&Arc<RecentTrace>| trace.duration >= self.slow_after;
        let has_error = |trace: &&Arc<RecentTrace>| trace.error;
        RecentTraces {
            slow: copies(recent.iter().filter(is_slow).chain(&slow)),
            errors: copies(recent.iter().filter(has_error).chain(&errors)),
            recent: copies(recent.iter()),
        }
    }
}

fn traces(entries: &VecDeque<Entry>) -> Vec<Arc<RecentTrace>> {
    entries
        .iter()
        .map(|entry| Arc::clone(&entry.trace))
        .collect()
}

fn copies<'a>(traces: impl Iterator<Item = &'a Arc<RecentTrace>>) -> Vec<RecentTrace> {
    traces.map(|trace| RecentTrace::clone(trace)).collect()
}

impl Kept {
    /// A span may end after its trace went to a shelf.
    fn find(&mut self, id: TraceId) -> Option<&mut Entry> {
        let shelves = self.errors.iter_mut().chain(&mut self.slow);
        let mut all = self.recent.iter_mut().chain(shelves);
        all.find(|entry| entry.id == id)
    }

    fn begin(&mut self, id: TraceId, span: RecentSpan, slow_after: Duration) {
        let bytes = span.bytes();
        self.bytes += bytes;
        let trace = Arc::new(RecentTrace::new(id.to_string(), span));
        self.recent.push_front(Entry { id, trace, bytes });
        if self.recent.len() > RECENT_TRACES
            && let Some(old) = self.recent.pop_back()
        {
            self.keep(old, slow_after);
        }
    }

    fn keep(&mut self, old: Entry, slow_after: Duration) {
        let shelf = if old.trace.error {
            &mut self.errors
        } else if old.trace.duration >= slow_after {
            &mut self.slow
        } else {
            self.bytes -= old.bytes;
            return;
        };
        shelf.push_front(old);
        if shelf.len() > KEPT_TRACES
            && let Some(oldest) = shelf.pop_back()
        {
            self.bytes -= oldest.bytes;
        }
    }

    fn shrink(&mut self) {
        while self.bytes > RING_BYTES {
            let shelf = [&mut self.recent, &mut self.slow, &mut self.errors]
                .into_iter()
                .max_by_key(|shelf| shelf.iter().map(|entry| entry.bytes).sum::<usize>());
            let Some(oldest) = shelf.and_then(VecDeque::pop_back) else {
                return;
            };
            self.bytes -= oldest.bytes;
        }
    }
}

impl Entry {
    /// Returns the bytes that it takes more.
    fn add(&mut self, span: RecentSpan) -> usize {
        let trace = Arc::make_mut(&mut self.trace);
        let end = (trace.start + trace.duration).max(span.start + span.duration);
        trace.start = trace.start.min(span.start);
        trace.duration = end.duration_since(trace.start).unwrap_or_default();
        trace.error |= span.error;
        if trace.spans.len() == SPANS_PER_TRACE {
            trace.spans_left_out += 1;
            return 0;
        }
        let bytes = span.bytes();
        let at = trace.spans.partition_point(|s| s.start <= span.start);
        trace.spans.insert(at, span);
        self.bytes += bytes;
        bytes
    }
}

impl RecentTrace {
    fn new(trace_id: String, span: RecentSpan) -> Self {
        Self {
            trace_id,
            start: span.start,
            duration: span.duration,
            error: span.error,
            spans: vec![span],
            spans_left_out: 0,
        }
    }
}

impl RecentSpan {
    fn new(data: &SpanData) -> Self {
        let parent = data.parent_span_id;
        let duration = data.end_time.duration_since(data.start_time);
        let attributes = data.attributes.iter().take(ATTRIBUTES_PER_SPAN);
        Self {
            span_id: data.span_context.span_id().to_string(),
            parent_span_id: (parent != SpanId::INVALID).then(|| parent.to_string()),
            name: data.name.to_string(),
            start: data.start_time,
            duration: duration.unwrap_or_default(),
            error: matches!(data.status, Status::Error { .. }),
            attributes: attributes
                .map(|a| (a.key.to_string(), cut(a.value.to_string(), TEXT_BYTES)))
                .collect(),
        }
    }

    fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let texts: usize = attributes.map(|(key, value)| key.len() + value.len()).sum();
        SPAN_BYTES + self.name.len() + texts
    }
}
