use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, Status, TraceId};
use opentelemetry::{Array, KeyValue, Value};
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
    kept: Mutex<TraceStore>,
}

#[derive(Debug, Default)]
struct TraceStore {
    recent: VecDeque<Entry>,
    slow: VecDeque<Entry>,
    errors: VecDeque<Entry>,
    bytes: usize,
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
        }
    }

    pub(crate) fn add(&self, data: &SpanData) {
        let id = data.span_context.trace_id();
        let mut kept = self.kept.lock();
        match kept.find(id) {
            Some(entry) => {
                let more = entry.add(data);
                kept.bytes += more;
            }
            None => kept.begin(id, StoredSpan::new(data), self.slow_after),
        }
        kept.shrink();
    }

    pub(crate) fn read(&self) -> RecentTraces {
        // the lock is held for copies of pointers only: the export thread fills it meanwhile
        let kept = self.kept.lock();
        let recent = traces(&kept.recent);
        let (slow, errors) = (traces(&kept.slow), traces(&kept.errors));
        drop(kept);
        let is_slow = |(_, trace): &&Pointer| trace.duration >= self.slow_after;
        let has_error = |(_, trace): &&Pointer| trace.error;
        RecentTraces {
            slow: copies(recent.iter().filter(is_slow).chain(&slow)),
            errors: copies(recent.iter().filter(has_error).chain(&errors)),
            recent: copies(recent.iter()),
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
    /// A span may end after its trace went to a bucket.
    fn find(&mut self, id: TraceId) -> Option<&mut Entry> {
        let buckets = self.errors.iter_mut().chain(&mut self.slow);
        let mut all = self.recent.iter_mut().chain(buckets);
        all.find(|entry| entry.id == id)
    }

    fn begin(&mut self, id: TraceId, span: StoredSpan, slow_after: Duration) {
        let bytes = span.bytes();
        self.bytes += bytes;
        let trace = Arc::new(StoredTrace::new(span));
        self.recent.push_front(Entry { id, trace, bytes });
        if self.recent.len() > RECENT_TRACES
            && let Some(old) = self.recent.pop_back()
        {
            self.keep(old, slow_after);
        }
    }

    fn keep(&mut self, old: Entry, slow_after: Duration) {
        let bucket = if old.trace.error {
            &mut self.errors
        } else if old.trace.duration >= slow_after {
            &mut self.slow
        } else {
            self.bytes -= old.bytes;
            return;
        };
        bucket.push_front(old);
        if bucket.len() > KEPT_TRACES
            && let Some(oldest) = bucket.pop_back()
        {
            self.bytes -= oldest.bytes;
        }
    }

    fn shrink(&mut self) {
        while self.bytes > RING_BYTES {
            let bucket = [&mut self.recent, &mut self.slow, &mut self.errors]
                .into_iter()
                .max_by_key(|bucket| bucket.iter().map(|entry| entry.bytes).sum::<usize>());
            let Some(oldest) = bucket.and_then(VecDeque::pop_back) else {
                return;
            };
            self.bytes -= oldest.bytes;
        }
    }
}

impl Entry {
    /// Returns the bytes that it takes more.
    fn add(&mut self, data: &SpanData) -> usize {
        let trace = Arc::make_mut(&mut self.trace);
        let end = (trace.start + trace.duration).max(data.end_time);
        trace.start = trace.start.min(data.start_time);
        trace.duration = end.duration_since(trace.start).unwrap_or_default();
        trace.error |= failed(data);
        if trace.spans.len() == SPANS_PER_TRACE {
            trace.left_out += 1;
            return 0;
        }
        let span = StoredSpan::new(data);
        let bytes = span.bytes();
        let at = trace.spans.partition_point(|s| s.start <= span.start);
        trace.spans.insert(at, span);
        self.bytes += bytes;
        bytes
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
    fn new(data: &SpanData) -> Self {
        let duration = data.end_time.duration_since(data.start_time);
        let attributes = data.attributes.iter().take(ATTRIBUTES_PER_SPAN);
        Self {
            id: data.span_context.span_id(),
            parent: data.parent_span_id,
            name: data.name.clone(),
            start: data.start_time,
            duration: duration.unwrap_or_default(),
            error: failed(data),
            attributes: attributes.map(shortened).collect(),
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

fn failed(data: &SpanData) -> bool {
    matches!(data.status, Status::Error { .. })
}

/// The attribute, with so much of a text or of an array as is shown.
fn shortened(attribute: &KeyValue) -> KeyValue {
    if text_bytes(&attribute.value) <= TEXT_BYTES {
        return attribute.clone();
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
