use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::encode::EncodedBriefs;

/// Approximate maximum bytes of one request: collectors refuse more than 20 MiB by default.
const PART_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of ids, times, names and the overhead of the encoding.
const SPAN_BYTES: usize = 256;
const ATTRIBUTE_BYTES: usize = 16;

/// Spans that are sent to the collector in one request.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) spans: &'a [SpanData],
    /// Encoded brief spans.
    pub(crate) briefs: &'a [u8],
    /// Number of both.
    pub(crate) len: usize,
}

/// Splits the batch so that no part is too large for one request
/// or has more than `most` spans; usually there is one part.
pub(crate) fn parts<'a>(
    spans: &'a [SpanData],
    briefs: &'a EncodedBriefs,
    most: usize,
) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(1);
    let (mut span, mut brief) = (0, 0);
    while span < spans.len() || brief < briefs.len() {
        let (first_span, first_brief, mut bytes) = (span, brief, 0);
        let mut fits = |size: usize, len: usize| {
            bytes += size;
            len < most && (bytes <= PART_BYTES || len == 0)
        };
        while span < spans.len() && fits(size(&spans[span]), span - first_span) {
            span += 1;
        }
        let len = span - first_span;
        while span == spans.len()
            && brief < briefs.len()
            && fits(
                briefs.bytes(brief..brief + 1).len(),
                len + brief - first_brief,
            )
        {
            brief += 1;
        }
        parts.push(Part {
            spans: &spans[first_span..span],
            briefs: briefs.bytes(first_brief..brief),
            len: len + brief - first_brief,
        });
    }
    parts
}

/// Returns the approximate bytes of a span.
pub(crate) fn size(span: &SpanData) -> usize {
    let events = span.events.events.iter();
    let events = events.map(|e| SPAN_BYTES + e.name.len() + attributes(&e.attributes));
    let links = span.links.links.iter();
    let links = links.map(|l| SPAN_BYTES + attributes(&l.attributes));
    let own = SPAN_BYTES + span.name.len() + attributes(&span.attributes);
    own + events.sum::<usize>() + links.sum::<usize>()
}

fn attributes(attributes: &[KeyValue]) -> usize {
    let sizes = attributes.iter().map(|attribute| {
        ATTRIBUTE_BYTES
            + attribute.key.as_str().len()
            + match &attribute.value {
                Value::String(text) => text.as_str().len(),
                Value::Array(Array::String(texts)) => texts.iter().map(|t| t.as_str().len()).sum(),
                _ => 8,
            }
    });
    sizes.sum()
}
