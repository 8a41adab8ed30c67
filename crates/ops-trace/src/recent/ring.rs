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
use crate::brief::{Batch, Ended};
use crate::limits::{Cleaner, cut};

const RECENT_TRACES: usize = 50;
/// Slow or failed traces, each, beside the last ones.
const KEPT_TRACES: usize = 100;
const SPANS_PER_TRACE: usize = 64;
const ATTRIBUTES_PER_SPAN: usize = 32;
const TEXT_BYTES: usize = 256;
/// Maximum bytes of all traces; above it the oldest are evicted.
const RING_BYTES: usize = 4 * 1024 * 1024;
/// Approximate bytes of a span besides its texts.
const SPAN_BYTES: usize = 256;

/// Recent traces, newest first.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct RecentTraces {
    /// The last 50 sampled traces.
    pub recent: Vec<RecentTrace>,
    /// Those that were slow, 1 s or more unless configured: of the last 50, and 100 others.
    pub slow: Vec<RecentTrace>,
    /// Those with an error: of the last 50, and 100 others.
    pub errors: Vec<RecentTrace>,
    /// Number of slow or failed traces evicted so far, above 100 of each kind or 4 MiB in all.
    pub evicted: u64,
}

/// The part of a trace that this process made.
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
    /// Spans in order of their start; at most 64. Of more, the root, those that others hang from and those that failed are there first.
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

/// Filled on the export thread, so that no request pays for it.
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

/// A trace as it is kept: its texts are made when somebody reads them.
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

    /// Adds the spans of a batch; those in brief are cleaned. Those that later ones of the batch would evict are not even copied.
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
                Ended::Span(span) => self.add(Cow::Borrowed(span)),
                Ended::Brief(brief) => {
                    let mut span = batch.whole(brief, scope);
                    cleaner.clean_span(&mut span);
                    self.add(Cow::Owned(span));
                }
            }
        }
    }

    /// Adds a span to its trace. A trace that begins with a sampled span is the newest of the last ones; that of an unsampled span, which
    /// is of a slow or failed request, stands beside them.
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

    /// Counts a slow or failed request that did not get here.
    pub(crate) fn missed(&self) {
        self.missed.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> RecentTraces {
        // the lock is held for copies of pointers only: the export thread fills it meanwhile
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

    /// A span may end after its trace went to a bucket.
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

    /// Puts a slow or failed trace into its bucket; one of which neither is known yet counts as slow.
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

    /// Makes room for a root, for a span that others hang from, and for one that failed: the last of those that nothing hangs from
    /// goes, and of those that failed only for what they hang from. A root, which has the route, goes for other roots only.
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

/// Reports whether this is the first span of its trace here.
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

/// The attribute, with so much of a text or of an array as is shown.
fn shortened(attribute: Cow<'_, KeyValue>) -> KeyValue {
    if text_bytes(&attribute.value) <= TEXT_BYTES {
        return attribute.into_owned();
    }
    let text = cut(attribute.value.to_string(), TEXT_BYTES);
    KeyValue::new(attribute.key.clone(), text)
}

/// About what it takes: an array is as long as its texts, which is more than enough to have it shortened.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => texts.iter().map(|t| t.as_str().len() + 24).sum(),
        Value::Array(_) => TEXT_BYTES + 1,
        _ => 8,
    }
}
