use std::ops::Range;
use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanData;

use super::{
    BYTES, SPAN, attribute, flags, head, ids, kind, message, number, text, text_attribute, times,
    varint,
};
use crate::brief::{Batch, QueuedBrief, Shape, TEXTS};
use crate::limits::Cleaner;
use crate::recent_values::RecentValues;

/// Number of shapes that are kept for a batch.
const SHAPES: usize = 256;
/// Bytes that the buffer keeps after a batch; a larger buffer is freed.
const KEPT_BYTES: usize = 1024 * 1024;

/// Encoded brief spans of a batch, one message after the other. Parts that a
/// span shares with the first span of its shape are encoded once and copied.
#[derive(Debug)]
pub(crate) struct EncodedBriefs {
    bytes: Vec<u8>,
    /// End of each span in `bytes`.
    ends: Vec<usize>,
    known: RecentValues<Known, SHAPES>,
    span: Vec<u8>,
}

/// The first span of a shape, with the ranges of its parts in the buffer.
#[derive(Debug)]
struct Known {
    shape: Arc<Shape>,
    /// Index of the brief span in its batch.
    brief: usize,
    name: Range<usize>,
    attributes: Range<usize>,
    /// Ranges of the attributes whose texts differ.
    texts: [Range<usize>; TEXTS],
}

impl EncodedBriefs {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            known: RecentValues::new(),
            span: Vec::new(),
        }
    }

    /// Encodes the brief spans of a batch, cleaned, and replaces those of the previous batch.
    pub(crate) fn write(
        &mut self,
        batch: &Batch,
        cleaner: &Cleaner<'_>,
        scope: &InstrumentationScope,
    ) {
        self.clear();
        for (at, waiting) in batch.briefs.iter().enumerate() {
            self.span.clear();
            ids(&mut self.span, &waiting.brief.ids, waiting.brief.parent);
            let shape = &waiting.brief.shape;
            // a shape is identified by its address; the last bits of all addresses are equal
            let number = Arc::as_ptr(shape).addr() >> 4;
            let is_it = |known: &Known| Arc::ptr_eq(&known.shape, shape);
            match self.known.find(number, is_it) {
                Some(known) => {
                    known.copy(&mut self.span, &self.bytes, batch, waiting, cleaner);
                    self.end(waiting);
                }
                None => {
                    let mut span = batch.expanded(waiting, scope);
                    cleaner.clean_span(&mut span);
                    let known = self.encode_shape(&span, waiting, at);
                    let start = self.end(waiting);
                    // the ranges are valid only if no attribute was dropped
                    if span.attributes.len() == shape.attributes.len() {
                        self.known.put(number, known.moved_by(start));
                    }
                }
            }
        }
    }

    /// Number of spans.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of these spans.
    pub(crate) fn bytes(&self, spans: Range<usize>) -> &[u8] {
        let start = |at: usize| at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start(spans.start)..start(spans.end)]
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.ends.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// Encodes the part of a span between its ids and its status, and returns its ranges.
    fn encode_shape(&mut self, span: &SpanData, waiting: &QueuedBrief, brief: usize) -> Known {
        let out = &mut self.span;
        let start = out.len();
        text(out, 5, &span.name);
        number(out, 6, kind(&span.span_kind));
        let name = start..out.len();
        times(out, span.start_time, span.end_time);
        let start = out.len();
        let shape = &waiting.brief.shape;
        let mut texts = [const { 0..0 }; TEXTS];
        for (at, pair) in span.attributes.iter().enumerate() {
            let start = out.len();
            attribute(out, 9, &pair.key, &pair.value);
            for (place, text) in shape.texts.iter().zip(&mut texts) {
                if *place == Some(at) {
                    *text = start..out.len();
                }
            }
        }
        Known {
            shape: Arc::clone(shape),
            brief,
            name,
            attributes: start..out.len(),
            texts,
        }
    }

    /// Encodes the end of a span and appends the span to the others. Returns the start of the span.
    fn end(&mut self, waiting: &QueuedBrief) -> usize {
        let brief = &waiting.brief;
        message(&mut self.span, 15, |_| {});
        flags(&mut self.span, &brief.ids, brief.parent_is_remote);
        head(&mut self.bytes, SPAN, BYTES);
        varint(&mut self.bytes, self.span.len() as u64);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&self.span);
        self.ends.push(self.bytes.len());
        start
    }
}

impl Known {
    /// Encodes the same part of another span of the shape.
    fn copy(
        &self,
        out: &mut Vec<u8>,
        bytes: &[u8],
        batch: &Batch,
        waiting: &QueuedBrief,
        cleaner: &Cleaner<'_>,
    ) {
        out.extend_from_slice(&bytes[self.name.clone()]);
        times(out, waiting.brief.start, waiting.brief.end);
        let mut copied = self.attributes.start;
        let (texts, others) = (batch.texts(waiting), batch.texts(&batch.briefs[self.brief]));
        for (at, place) in self.shape.texts.iter().enumerate() {
            let (Some(place), true) = (place, texts[at] != others[at]) else {
                continue;
            };
            let written = &self.texts[at];
            out.extend_from_slice(&bytes[copied..written.start]);
            copied = written.end;
            let key = self.shape.attributes[*place].key.as_str();
            let cleaned = cleaner.text(key, texts[at]);
            text_attribute(out, 9, key, cleaned.as_deref().unwrap_or(texts[at]));
        }
        out.extend_from_slice(&bytes[copied..self.attributes.end]);
    }

    fn moved_by(self, bytes: usize) -> Self {
        let moved = |range: Range<usize>| range.start + bytes..range.end + bytes;
        Self {
            name: moved(self.name),
            attributes: moved(self.attributes),
            texts: self.texts.map(moved),
            ..self
        }
    }
}
