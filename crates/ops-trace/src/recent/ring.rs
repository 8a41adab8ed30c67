use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, Status, TraceId};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

use super::passing::passing;
use crate::brief::{Batch, BatchSpan};
use crate::limits::{Cleaner, cut};

const RECENT_TRACES: usize = 50;
/// Maximum number of slow traces, and of failed ones, kept beside the recent traces.
const KEPT_TRACES: usize = 100;
const SPANS_PER_TRACE: usize = 64;
const ATTRIBUTES_PER_SPAN: usize = 32;
const TEXT_BYTES: usize = 256;
/// Maximum bytes of all traces; above it the oldest trace of the largest group is evicted.
const RING_BYTES: usize = 4 * 1024 * 1024;
/// Approximate bytes of a span besides its texts.
const SPAN_BYTES: usize = 256;

/// Recent traces, newest first.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct RecentTraces {
    /// The last 50 sampled traces.
    pub recent: Vec<RecentTrace>,
    /// Slow traces, 1 s or more unless configured: those of the last 50,
    /// and of up to 100 slow and 100 failed traces kept beside them.
    pub slow: Vec<RecentTrace>,
    /// Traces with an error: those of the last 50, and of up
    /// to 100 failed and 100 slow traces kept beside them.
    pub errors: Vec<RecentTrace>,
    /// Number of slow or failed traces that were evicted so far, above 100 of each kind or 4 MiB in total.
    pub evicted: u64,
}

/// The spans of a trace that were created in this process.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RecentTrace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// Start of its earliest span.
    pub start: SystemTime,
    /// Time from the earliest start to the latest end.
    pub duration: Duration,
    /// True if one of its spans failed.
    pub error: bool,
    /// Spans in order of their start; at most 64. Beyond that, the
    /// root, spans with children and failed spans are kept first.
    pub spans: Vec<RecentSpan>,
    /// Number of spans that were left out.
    pub spans_left_out: u64,
}

/// A span of a recent trace.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RecentSpan {
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// Id of the parent, which may be in another process; `None` for the root of the trace.
    pub parent_span_id: Option<String>,
    /// Name of the span.
    pub name: String,
    /// Start time.
    pub start: SystemTime,
    /// Run time.
    pub duration: Duration,
    /// True if it failed.
    pub error: bool,
    /// Attributes as text: the first 32, each cut after 256 bytes.
    pub attributes: Vec<(String, String)>,
}

/// Ring of recent traces, filled on the export thread, so that no request is delayed.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) slow_after: Duration,
    kept: Mutex<TraceStore>,
    missed: AtomicU64,
}

#[derive(Debug, Default)]
struct TraceStore {
    recent: VecDeque<Entry>,
    slow: VecDeque<Entry>,
    errors: VecDeque<Entry>,
    bytes: usize,
    evicted: u64,
}

/// A stored trace; its texts are formatted when it is read.
#[derive(Debug)]
struct Entry {
    id: TraceId,
    trace: Arc<StoredTrace>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct StoredTrace {
    start: SystemTime,
    duration: Duration,
    error: bool,
    spans: Vec<StoredSpan>,
    left_out: u64,
}

#[derive(Clone, Debug)]
struct StoredSpan {
    id: SpanId,
    parent: SpanId,
    is_root: bool,
    name: Cow<'static, str>,
    start: SystemTime,
    duration: Duration,
    error: bool,
    attributes: Vec<KeyValue>,
}

impl Ring {
    pub(crate) fn new(slow_after: Duration) -> Self {
        Self {
            slow_after,
            kept: Mutex::default(),
            missed: AtomicU64::new(0),
        }
    }

    /// Adds the spans of a batch; brief ones are cleaned. Spans
    /// that later ones of the batch would evict are not copied.
    pub(crate) fn add_all(
        &self,
        batch: &Batch,
        cleaner: &Cleaner<'_>,
        scope: &InstrumentationScope,
    ) {
        let passing = if batch.len() > RECENT_TRACES {
            let known = self.kept.lock().ids();
            passing(batch, known.into_iter(), RECENT_TRACES, self.slow_after)
        } else {
            Vec::new()
        };
        for (at, ended) in batch.in_order().enumerate() {
            if passing.get(at) == Some(&true) {
                continue;
            }
            match ended {
                BatchSpan::Span(span) => self.add(Cow::Borrowed(span)),
                BatchSpan::Brief(brief) => {
                    let mut span = batch.expanded(brief, scope);
                    cleaner.clean_span(&mut span);
                    self.add(Cow::Owned(span));
                }
            }
        }
    }

    /// Adds a span to its trace. A new trace with a sampled span becomes the most recent one; a new trace with an
    /// unsampled span, which belongs to a slow or failed request, is put aside.
    fn add(&self, data: Cow<'_, SpanData>) {
        let id = data.span_context.trace_id();
        let mut kept = self.kept.lock();
        match kept.find(id) {
            Some(entry) => {
                let before = entry.bytes;
                entry.add(data);
                let after = entry.bytes;
                kept.bytes = kept.bytes + after - before;
            }
            None => {
                let is_sampled = data.span_context.is_sampled();
                let entry = Entry::new(id, data);
                kept.bytes += entry.bytes;
                match is_sampled {
                    true => kept.begin(entry, self.slow_after),
                    false => kept.put_aside(entry),
                }
            }
        }
        kept.shrink(self.slow_after);
    }

    /// Counts a slow or failed request that was not stored.
    pub(crate) fn count_missed(&self) {
        self.missed.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> RecentTraces {
        // the lock is held only to copy pointers, so that the export thread is not blocked
        let kept = self.kept.lock();
        let recent = traces(&kept.recent);
        let (slow, errors) = (traces(&kept.slow), traces(&kept.errors));
        let evicted = kept.evicted + self.missed.load(Relaxed);
        drop(kept);
        let is_slow = |(_, trace): &&Pointer| trace.duration >= self.slow_after;
        let has_error = |(_, trace): &&Pointer| trace.error;
        RecentTraces {
            slow: copies(recent.iter().chain(&slow).chain(&errors).filter(is_slow)),
            errors: copies(recent.iter().chain(&errors).chain(&slow).filter(has_error)),
            recent: copies(recent.iter()),
            evicted,
        }
    }
}

type Pointer = (TraceId, Arc<StoredTrace>);

fn traces(entries: &VecDeque<Entry>) -> Vec<Pointer> {
    let entries = entries.iter();
    entries
        .map(|entry| (entry.id, Arc::clone(&entry.trace)))
        .collect()
}

fn copies<'a>(traces: impl Iterator<Item = &'a Pointer>) -> Vec<RecentTrace> {
    traces.map(|(id, trace)| trace.read(*id)).collect()
}

impl TraceStore {
    fn ids(&self) -> Vec<TraceId> {
        let all = self.recent.iter().chain(&self.errors).chain(&self.slow);
        all.map(|entry| entry.id).collect()
    }

    /// Finds a trace, also among those put aside: a span may end after its trace was moved there.
    fn find(&mut self, id: TraceId) -> Option<&mut Entry> {
        let buckets = self.errors.iter_mut().chain(&mut self.slow);
        let mut all = self.recent.iter_mut().chain(buckets);
        all.find(|entry| entry.id == id)
    }

    fn begin(&mut self, entry: Entry, slow_after: Duration) {
        self.recent.push_front(entry);
        if self.recent.len() > RECENT_TRACES
            && let Some(old) = self.recent.pop_back()
        {
            self.keep(old, slow_after);
        }
    }

    fn keep(&mut self, old: Entry, slow_after: Duration) {
        if old.trace.error || old.trace.duration >= slow_after {
            self.put_aside(old);
        } else {
            self.bytes -= old.bytes;
        }
    }

    /// Puts a slow or failed trace into its bucket; a trace that is not yet known to be either counts as slow.
    fn put_aside(&mut self, entry: Entry) {
        let bucket = if entry.trace.error {
            &mut self.errors
        } else {
            &mut self.slow
        };
        bucket.push_front(entry);
        if bucket.len() > KEPT_TRACES
            && let Some(oldest) = bucket.pop_back()
        {
            self.bytes -= oldest.bytes;
            self.evicted += 1;
        }
    }

    fn shrink(&mut self, slow_after: Duration) {
        while self.bytes > RING_BYTES {
            let bucket = [&mut self.recent, &mut self.slow, &mut self.errors]
                .into_iter()
                .max_by_key(|bucket| bucket.iter().map(|entry| entry.bytes).sum::<usize>());
            let Some(oldest) = bucket.and_then(VecDeque::pop_back) else {
                return;
            };
            self.bytes -= oldest.bytes;
            let trace = &oldest.trace;
            self.evicted += u64::from(trace.error || trace.duration >= slow_after);
        }
    }
}

impl Entry {
    fn new(id: TraceId, data: Cow<'_, SpanData>) -> Self {
        let span = StoredSpan::new(data);
        let bytes = span.bytes();
        let trace = Arc::new(StoredTrace::new(span));
        Self { id, trace, bytes }
    }

    fn add(&mut self, data: Cow<'_, SpanData>) {
        let trace = Arc::make_mut(&mut self.trace);
        let end = (trace.start + trace.duration).max(data.end_time);
        trace.start = trace.start.min(data.start_time);
        trace.duration = end.duration_since(trace.start).unwrap_or_default();
        trace.error |= failed(&data);
        if trace.spans.len() == SPANS_PER_TRACE {
            trace.left_out += 1;
            let Some(dropped) = trace.make_room(&data) else {
                return;
            };
            self.bytes -= dropped.bytes();
        }
        let span = StoredSpan::new(data);
        self.bytes += span.bytes();
        let at = trace.spans.partition_point(|s| s.start <= span.start);
        trace.spans.insert(at, span);
    }
}

impl StoredTrace {
    fn new(span: StoredSpan) -> Self {
        Self {
            start: span.start,
            duration: span.duration,
            error: span.error,
            spans: vec![span],
            left_out: 0,
        }
    }

    /// Makes room for a root, a span with children, or a failed span, by removing the last span
    /// without children. A failed one is removed only for a root or a span with children, and a
    /// root, which has the route, only if no other span can be removed.
    fn make_room(&mut self, data: &SpanData) -> Option<StoredSpan> {
        let id = data.span_context.span_id();
        let holds = is_root(data) || self.spans.iter().any(|span| span.parent == id);
        if !holds && !failed(data) {
            return None;
        }
        let is_leaf = |span: &StoredSpan| {
            let mut others = self.spans.iter();
            span.id != data.parent_span_id && others.all(|other| other.parent != span.id)
        };
        let has_others = self.spans.iter().any(|span| !span.is_root && is_leaf(span));
        let may_go = |span: &StoredSpan| is_leaf(span) && !(span.is_root && has_others);
        let works = |span: &StoredSpan| !span.error && may_go(span);
        let mut last = self.spans.iter().rposition(works);
        if last.is_none() && holds {
            last = self.spans.iter().rposition(may_go);
        }
        last.map(|at| self.spans.remove(at))
    }

    fn read(&self, id: TraceId) -> RecentTrace {
        RecentTrace {
            trace_id: id.to_string(),
            start: self.start,
            duration: self.duration,
            error: self.error,
            spans: self.spans.iter().map(StoredSpan::read).collect(),
            spans_left_out: self.left_out,
        }
    }
}

impl StoredSpan {
    fn new(data: Cow<'_, SpanData>) -> Self {
        let span = Self {
            id: data.span_context.span_id(),
            parent: data.parent_span_id,
            is_root: is_root(&data),
            name: Cow::default(),
            start: data.start_time,
            duration: took(&data),
            error: failed(&data),
            attributes: Vec::new(),
        };
        let (name, attributes) = match data {
            Cow::Borrowed(data) => {
                let attributes = data.attributes.iter().take(ATTRIBUTES_PER_SPAN);
                let attributes = attributes.map(|one| shortened(Cow::Borrowed(one)));
                (data.name.clone(), attributes.collect())
            }
            Cow::Owned(data) => {
                let attributes = data.attributes.into_iter().take(ATTRIBUTES_PER_SPAN);
                let attributes = attributes.map(|one| shortened(Cow::Owned(one)));
                (data.name, attributes.collect())
            }
        };
        Self {
            name,
            attributes,
            ..span
        }
    }

    fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let texts =
            attributes.map(|a| size_of::<KeyValue>() + a.key.as_str().len() + text_bytes(&a.value));
        SPAN_BYTES + self.name.len() + texts.sum::<usize>()
    }

    fn read(&self) -> RecentSpan {
        let attributes = self.attributes.iter();
        let text = |a: &KeyValue| (a.key.to_string(), cut(a.value.to_string(), TEXT_BYTES));
        RecentSpan {
            span_id: self.id.to_string(),
            parent_span_id: (self.parent != SpanId::INVALID).then(|| self.parent.to_string()),
            name: self.name.to_string(),
            start: self.start,
            duration: self.duration,
            error: self.error,
            attributes: attributes.map(text).collect(),
        }
    }
}

/// Reports whether this is the first span of its trace in this process.
fn is_root(data: &SpanData) -> bool {
    data.parent_span_id == SpanId::INVALID || data.parent_span_is_remote
}

pub(crate) fn failed(data: &SpanData) -> bool {
    matches!(data.status, Status::Error { .. })
}

pub(crate) fn took(data: &SpanData) -> Duration {
    let duration = data.end_time.duration_since(data.start_time);
    duration.unwrap_or_default()
}

/// Returns the attribute; a text or array longer than what is shown becomes a shortened text.
fn shortened(attribute: Cow<'_, KeyValue>) -> KeyValue {
    if text_bytes(&attribute.value) <= TEXT_BYTES {
        return attribute.into_owned();
    }
    let text = cut(attribute.value.to_string(), TEXT_BYTES);
    KeyValue::new(attribute.key.clone(), text)
}

/// Returns the approximate bytes of a value. For an array other than
/// of texts it is more than the limit, so that it is shortened.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => texts.iter().map(|t| t.as_str().len() + 24).sum(),
        Value::Array(_) => TEXT_BYTES + 1,
        _ => 8,
    }
}
