use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

/// One request carries about so much: collectors refuse more than 20 MiB by default.
const PART_BYTES: usize = 4 * 1024 * 1024;
/// Ids, times, names and what encoding adds.
const SPAN_BYTES: usize = 256;
const ATTRIBUTE_BYTES: usize = 16;

/// The batch, cut where it would become too large for one request; most often it is one part.
pub(crate) fn parts(batch: &[SpanData]) -> Vec<&[SpanData]> {
    let (mut parts, mut start, mut bytes) = (Vec::with_capacity(1), 0, 0);
    for (at, span) in batch.iter().enumerate() {
        let size = size(span);
        if bytes + size > PART_BYTES && at > start {
            parts.push(&batch[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    parts.push(&batch[start..]);
    parts
}

/// About the bytes that a span takes.
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
