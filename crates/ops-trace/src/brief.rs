//! Brief spans: most of their description is shared with other spans; the rest is ids, times and a few texts.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// Number of attributes by which spans of one shape may differ.
pub(crate) const TEXTS: usize = 2;

/// Description that spans share.
#[derive(Debug)]
pub(crate) struct Shape {
    name: Cow<'static, str>,
    kind: SpanKind,
    /// Attributes; those that differ between the spans have an empty text here.
    pub(crate) attributes: Vec<KeyValue>,
    /// Indexes of these in `attributes`, in their order.
    pub(crate) texts: [Option<usize>; TEXTS],
}

impl Shape {
    /// Takes the shared description from a span. The texts of `keys` differ between spans.
    #[cfg(feature = "http")]
    pub(crate) fn of(span: SpanData, keys: [&str; TEXTS]) -> Self {
        let mut attributes = span.attributes;
        let texts = keys.map(|key| attributes.iter().position(|one| one.key.as_str() == key));
        for at in texts.into_iter().flatten() {
            attributes[at].value = Value::from("");
        }
        Self {
            name: span.name,
            kind: span.span_kind,
            attributes,
            texts,
        }
    }
}

/// A span that is sampled, did not fail, and has neither events nor links.
#[derive(Debug)]
pub(crate) struct Brief {
    pub(crate) shape: Arc<Shape>,
    pub(crate) ids: SpanContext,
    pub(crate) parent: SpanId,
    pub(crate) parent_is_remote: bool,
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
}

/// A brief span in a batch.
#[derive(Debug)]
pub(crate) struct QueuedBrief {
    pub(crate) brief: Brief,
    /// Number of spans that ended before it.
    before: usize,
    texts: [Range<usize>; TEXTS],
}

/// Spans that wait for export.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) spans: Vec<SpanData>,
    pub(crate) briefs: Vec<QueuedBrief>,
    /// Texts of the brief spans.
    texts: String,
}

/// A span of a batch.
#[derive(Clone, Copy)]
pub(crate) enum BatchSpan<'a> {
    Span(&'a SpanData),
    Brief(&'a QueuedBrief),
}

/// Bytes that each buffer keeps after a batch; capacity beyond that is freed.
const KEPT_BYTES: usize = 1024 * 1024;

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.spans.len() + self.briefs.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[cfg(feature = "http")]
    pub(crate) fn push_brief(&mut self, brief: Brief, texts: [&str; TEXTS]) {
        let before = self.len();
        let texts = texts.map(|text| {
            let start = self.texts.len();
            self.texts.push_str(text);
            start..self.texts.len()
        });
        self.briefs.push(QueuedBrief {
            brief,
            before,
            texts,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        self.briefs.clear();
        self.texts.clear();
        self.spans.shrink_to(KEPT_BYTES / size_of::<SpanData>());
        self.briefs.shrink_to(KEPT_BYTES / size_of::<QueuedBrief>());
        self.texts.shrink_to(KEPT_BYTES);
    }

    /// Returns the spans in the order of their ends.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = BatchSpan<'_>> {
        let (mut spans, mut briefs) = (self.spans.iter(), self.briefs.iter().peekable());
        let mut at = 0;
        std::iter::from_fn(move || {
            let next = match briefs.next_if(|brief| brief.before == at) {
                Some(brief) => BatchSpan::Brief(brief),
                None => BatchSpan::Span(spans.next()?),
            };
            at += 1;
            Some(next)
        })
    }

    /// Returns the texts of a brief span.
    pub(crate) fn texts(&self, brief: &QueuedBrief) -> [&str; TEXTS] {
        brief.texts.clone().map(|text| &self.texts[text])
    }

    /// Expands a brief span.
    pub(crate) fn expanded(&self, waiting: &QueuedBrief, scope: &InstrumentationScope) -> SpanData {
        let brief = &waiting.brief;
        let shape = &*brief.shape;
        let mut attributes = shape.attributes.clone();
        for (at, text) in shape.texts.into_iter().zip(self.texts(waiting)) {
            if let Some(at) = at {
                attributes[at].value = Value::from(text.to_owned());
            }
        }
        SpanData {
            span_context: brief.ids.clone(),
            parent_span_id: brief.parent,
            parent_span_is_remote: brief.parent_is_remote,
            span_kind: shape.kind.clone(),
            name: shape.name.clone(),
            start_time: brief.start,
            end_time: brief.end,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope.clone(),
        }
    }

    /// Expands all brief spans, and puts all spans in the order of their ends.
    pub(crate) fn expand_all(&mut self, scope: &InstrumentationScope) {
        if self.briefs.is_empty() {
            return;
        }
        let all = self.in_order().map(|ended| match ended {
            BatchSpan::Span(span) => span.clone(),
            BatchSpan::Brief(brief) => self.expanded(brief, scope),
        });
        self.spans = all.collect();
        self.briefs.clear();
    }
}
