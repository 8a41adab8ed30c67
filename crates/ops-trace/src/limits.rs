use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwapOption;
use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use crate::stats::add;

/// Text of an attribute beyond this is cut when it is set, before the filter sees it.
pub(crate) const MAX_TEXT_BYTES: usize = 8192;
/// Text of an attribute beyond this is cut when it is exported; a variable may lower it.
pub(crate) const MAX_VALUE_BYTES: usize = 4096;
/// Attributes of one span beyond this are dropped; a variable may lower it.
pub(crate) const MAX_ATTRIBUTES: usize = 128;
/// Maximum number of causes of an error; further ones are left out.
pub(crate) const MAX_CAUSES: usize = 16;
/// So many times the limit may be set before the last one of each key is looked for.
pub(crate) const SETS_PER_ATTRIBUTE: usize = 8;

const CUT: &str = "...(truncated)";
/// Key of the description of a failure, and until the export the attribute that has the last one: the SDK keeps the greatest text.
pub(crate) const DESCRIPTION: &str = "otel.status_description";
/// Kind of an error, by the semantic conventions.
pub(crate) const ERROR_TYPE: &str = "error.type";

type Filter = Box<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

static FILTER: ArcSwapOption<Filter> = ArcSwapOption::const_empty();

/// Lets this function see each text of an attribute (key, value) and replace it: for secrets. Texts that are no attributes have the
/// keys `span.name` (of a name that is no literal), `event.name` and `otel.status_description`.
///
/// It runs on the export thread, before the span is seen by anybody, so that no request waits for it. If it panics,
/// the value becomes `***`.
pub fn set_attribute_filter(filter: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) {
    FILTER.store(Some(Arc::new(Box::new(filter))));
}

/// Limits of one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum number of characters of a text, if configured; [`MAX_VALUE_BYTES`] holds in any case.
    pub(crate) value_chars: Option<usize>,
    pub(crate) attributes: usize,
    pub(crate) events: u32,
    pub(crate) links: u32,
    pub(crate) event_attributes: u32,
    pub(crate) link_attributes: u32,
}

impl Limits {
    /// Keeps the last value of each key, filters secrets, and cuts what is too much. Runs on the export thread.
    pub(crate) fn apply(&self, span: &mut SpanData, dropped: &AtomicU64) {
        let filter = FILTER.load();
        let filter = filter.as_deref();
        // a literal is code, and has no secret in it
        if let Cow::Owned(name) = &span.name
            && let Some(new) = filtered("span.name", name, filter)
        {
            span.name = new.into();
        }
        make_printable(&mut span.name);
        keep_last_of_each_key(&mut span.attributes);
        settle_status(span);
        let excess = span.attributes.len().saturating_sub(self.attributes);
        if excess > 0 {
            span.attributes.truncate(self.attributes);
            span.dropped_attributes_count += u32::try_from(excess).unwrap_or(u32::MAX);
        }
        if span.dropped_attributes_count > 0 {
            add(dropped, span.dropped_attributes_count as usize);
        }
        self.clean(&mut span.attributes, filter);
        if let Status::Error { description } = &mut span.status
            && let Some(new) = self.text(DESCRIPTION, description, filter)
        {
            *description = new.into();
        }
        for event in &mut span.events.events {
            if let Some(new) = self.text("event.name", &event.name, filter) {
                event.name = new.into();
            }
            keep_last_of_each_key(&mut event.attributes);
            self.clean(&mut event.attributes, filter);
        }
        for link in &mut span.links.links {
            keep_last_of_each_key(&mut link.attributes);
            self.clean(&mut link.attributes, filter);
        }
    }

    fn clean(&self, attributes: &mut [KeyValue], filter: Option<&Filter>) {
        for attribute in attributes {
            let key = attribute.key.as_str();
            match &mut attribute.value {
                Value::String(text) => {
                    if let Some(new) = self.text(key, text.as_str(), filter) {
                        *text = new.into();
                    }
                }
                Value::Array(Array::String(texts)) => {
                    for text in texts {
                        if let Some(new) = self.text(key, text.as_str(), filter) {
                            *text = new.into();
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The text that takes the place of this one; `None` where it may stay.
    fn text(&self, key: &str, text: &str, filter: Option<&Filter>) -> Option<String> {
        let filtered = filtered(key, text, filter);
        let seen = filtered.as_deref().unwrap_or(text);
        match self.value_chars {
            Some(most) if seen.len() > most.min(MAX_VALUE_BYTES) => {
                let end = seen
                    .char_indices()
                    .nth(most)
                    .map_or(seen.len(), |(at, _)| at);
                let end = seen.floor_char_boundary(end.min(MAX_VALUE_BYTES));
                Some(seen[..end].to_owned())
            }
            None if seen.len() > MAX_VALUE_BYTES => Some(cut(seen.to_owned(), MAX_VALUE_BYTES)),
            _ => filtered,
        }
    }
}

/// The text that the filter puts in the place of this one; a panic in it gives nothing away.
fn filtered(key: &str, text: &str, filter: Option<&Filter>) -> Option<String> {
    filter.and_then(|filter| {
        catch_unwind(AssertUnwindSafe(|| filter(key, text)))
            .unwrap_or_else(|_| Some("***".to_owned()))
    })
}

/// At most this many bytes of it, at a boundary of characters, marked as cut.
pub(crate) fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
        text.push_str(CUT);
    }
    text
}

fn make_printable(name: &mut Cow<'static, str>) {
    if name.contains(char::is_control) {
        let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        *name = name.chars().map(printable).collect::<String>().into();
    }
}

/// A failed span has the description of its last error, and one that succeeded on purpose nothing of errors.
fn settle_status(span: &mut SpanData) {
    let attributes = &mut span.attributes;
    match &mut span.status {
        Status::Unset => {}
        Status::Ok => {
            attributes.retain(|one| ![DESCRIPTION, ERROR_TYPE].contains(&one.key.as_str()))
        }
        Status::Error { description } => {
            if let Some(at) = attributes
                .iter()
                .position(|one| one.key.as_str() == DESCRIPTION)
            {
                *description = attributes.remove(at).value.as_str().into_owned().into();
            }
        }
    }
}

/// The last value of a key takes the place of its first one.
fn keep_last_of_each_key(attributes: &mut Vec<KeyValue>) {
    if all_differ(attributes) {
        return;
    }
    let mut kept = 0;
    for at in 0..attributes.len() {
        let (earlier, rest) = attributes.split_at_mut(at);
        match earlier[..kept].iter_mut().find(|e| e.key == rest[0].key) {
            Some(first) => std::mem::swap(&mut first.value, &mut rest[0].value),
            None => {
                attributes.swap(kept, at);
                kept += 1;
            }
        }
    }
    attributes.truncate(kept);
}

/// Reports whether no key is there twice. A key is compared with the ones before it only if one of these may be the same, by its length
/// and its last letters.
fn all_differ(attributes: &[KeyValue]) -> bool {
    let mut marks = 0_u64;
    for (at, KeyValue { key, .. }) in attributes.iter().enumerate() {
        let text = key.as_str();
        let last = text
            .as_bytes()
            .last_chunk()
            .map_or(0, |last| u16::from_le_bytes(*last));
        let mixed = (text.len() as u64 ^ u64::from(last) << 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mark = 1 << (mixed >> 58);
        if marks & mark != 0 && attributes[..at].iter().any(|earlier| earlier.key == *key) {
            return false;
        }
        marks |= mark;
    }
    true
}
