use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

const RECENT_TRACES: usize = 50;
const KEPT_TRACES: usize = 20;
const SPANS_PER_TRACE: usize = 64;
const SLOW: Duration = Duration::from_secs(1);

/// The traces of late, newest first.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct RecentTraces {
    /// The last 50.
    pub recent: Vec<RecentTrace>,
    /// The last 20 older ones that took a second or more.
    pub slow: Vec<RecentTrace>,
    /// The last 20 older ones with an error.
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
    /// Its attributes as text.
    pub attributes: Vec<(String, String)>,
}

/// Filled on the export thread, so that no request pays for it.
#[derive(Debug, Default)]
pub(crate) struct Ring(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    recent: VecDeque<RecentTrace>,
    slow: VecDeque<RecentTrace>,
    errors: VecDeque<RecentTrace>,
}

impl Ring {
    pub(crate) fn add(&self, data: &SpanData) {
        let trace_id = data.span_context.trace_id().to_string();
        let span = RecentSpan::new(data);
        let mut kept = self.0.lock();
        if let Some(trace) = kept.recent.iter_mut().find(|t| t.trace_id == trace_id) {
            return trace.add(span);
        }
        kept.recent.push_front(RecentTrace::new(trace_id, span));
        if kept.recent.len() > RECENT_TRACES
            && let Some(old) = kept.recent.pop_back()
        {
            kept.keep(old);
        }
    }

    pub(crate) fn read(&self) -> RecentTraces {
        let kept = self.0.lock();
        RecentTraces {
            recent: kept.recent.iter().cloned().collect(),
            slow: kept.slow.iter().cloned().collect(),
            errors: kept.errors.iter().cloned().collect(),
        }
    }
}

impl Kept {
    fn keep(&mut self, trace: RecentTrace) {
        let shelf = if trace.error {
            &mut self.errors
        } else if trace.duration >= SLOW {
            &mut self.slow
        } else {
            return;
        };
        shelf.push_front(trace);
        shelf.truncate(KEPT_TRACES);
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

    fn add(&mut self, span: RecentSpan) {
        let end = (self.start + self.duration).max(span.start + span.duration);
        self.start = self.start.min(span.start);
        self.duration = end.duration_since(self.start).unwrap_or_default();
        self.error |= span.error;
        if self.spans.len() == SPANS_PER_TRACE {
            self.spans_left_out += 1;
            return;
        }
        let at = self.spans.partition_point(|s| s.start <= span.start);
        self.spans.insert(at, span);
    }
}

impl RecentSpan {
    fn new(data: &SpanData) -> Self {
        let parent = data.parent_span_id;
        Self {
            span_id: data.span_context.span_id().to_string(),
            parent_span_id: (parent != SpanId::INVALID).then(|| parent.to_string()),
            name: data.name.to_string(),
            start: data.start_time,
            duration: data
                .end_time
                .duration_since(data.start_time)
                .unwrap_or_default(),
            error: matches!(data.status, Status::Error { .. }),
            attributes: data
                .attributes
                .iter()
                .map(|a| (a.key.to_string(), a.value.to_string()))
                .collect(),
        }
    }
}
