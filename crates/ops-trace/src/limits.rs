use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwapOption;
use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;

use crate::stats::add;

/// Maximum bytes of an attribute's text when it is set, before the filter sees it; longer text is cut.
pub(crate) const MAX_TEXT_BYTES: usize = 8192;
/// Maximum bytes of an attribute's text when it is exported; longer text is cut. A variable may lower it.
pub(crate) const MAX_VALUE_BYTES: usize = 4096;
/// Maximum number of attributes of one span; further ones are dropped. A variable may lower it.
pub(crate) const MAX_ATTRIBUTES: usize = 128;
/// Maximum number of causes of an error; further ones are left out.
pub(crate) const MAX_CAUSES: usize = 16;
/// Values that a span takes per attribute of [`MAX_ATTRIBUTES`],
/// so that the last value of each key is still seen at export.
pub(crate) const SETS_PER_ATTRIBUTE: usize = 8;

const CUT: &str = "...(truncated)";
/// Key of the description of a failure. Until the export this attribute
/// has the last description: the SDK keeps the greatest text.
pub(crate) const DESCRIPTION: &str = "otel.status_description";
/// Key of the kind of an error, by the semantic conventions.
pub(crate) const ERROR_TYPE: &str = "error.type";

type Filter = Box<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

static FILTER: ArcSwapOption<Filter> = ArcSwapOption::const_empty();

/// Sets the function that sees each text of an attribute (key, value) and may replace it, to remove secrets. Other
/// texts have the keys `span.name` (of a name that is not a literal), `event.name` and `otel.status_description`.
///
/// It runs on the export thread, before the span is kept or exported, so that no request waits for it. Its result for a
/// text may be reused, without another call, for other spans of the same batch. If it panics, the value becomes `***`.
pub fn set_attribute_filter(filter: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) {
    FILTER.store(Some(Arc::new(Box::new(filter))));
}

/// Limits of one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum number of characters of a text, if configured; [`MAX_VALUE_BYTES`] applies in any case.
    pub(crate) value_chars: Option<usize>,
    pub(crate) attributes: usize,
    pub(crate) events: u32,
    pub(crate) links: u32,
    pub(crate) event_attributes: u32,
    pub(crate) link_attributes: u32,
}

impl Limits {
    /// Returns a cleaner that applies these limits and the current filter.
    pub(crate) fn cleaner(&self) -> Cleaner<'_> {
        Cleaner {
            limits: self,
            filter: FILTER.load_full(),
        }
    }
}

/// Keeps the last value of each key, filters secrets and applies limits. Works on the export thread.
pub(crate) struct Cleaner<'a> {
    limits: &'a Limits,
    filter: Option<Arc<Filter>>,
}

impl Cleaner<'_> {
    /// Cleans the spans of a batch.
    pub(crate) fn clean_batch(&self, batch: &mut [SpanData], dropped: &AtomicU64) {
        let mut seen = [Seen::default(); SEEN];
        for at in 0..batch.len() {
            let (done, rest) = batch.split_at_mut(at);
            let Some(span) = rest.first_mut() else { break };
            let seen = &mut seen[mixed(mark(&span.name)) as usize % SEEN];
            let alike = seen.alike(done, span);
            let unchanged = self.clean_like(span, alike);
            *seen = Seen { at, unchanged };
            if span.dropped_attributes_count > 0 {
                add(dropped, span.dropped_attributes_count as usize);
            }
        }
    }

    /// Cleans one span.
    pub(crate) fn clean_span(&self, span: &mut SpanData) {
        self.clean_like(span, None);
    }

    /// Cleans a span and returns which texts are unchanged. Texts
    /// that are the same in the span `alike` are not checked again.
    fn clean_like(&self, span: &mut SpanData, alike: Option<(&SpanData, Unchanged)>) -> Unchanged {
        let filter = self.filter.as_deref();
        let mut unchanged = Unchanged::default();
        // a literal name was not filtered, and proves nothing about a name that is not a literal
        let is_seen = |other: &SpanData| {
            matches!(
                (&span.name, &other.name),
                (Cow::Borrowed(_), _) | (_, Cow::Owned(_))
            )
        };
        let is_known = alike.is_some_and(|(other, texts)| texts.name && is_seen(other));
        unchanged.name = is_known || !clean_name(&mut span.name, filter);
        if alike.is_none() {
            keep_last_of_each_key(&mut span.attributes);
        }
        settle_status(span);
        let excess = span.attributes.len().saturating_sub(self.limits.attributes);
        if excess > 0 {
            span.attributes.truncate(self.limits.attributes);
            span.dropped_attributes_count += u32::try_from(excess).unwrap_or(u32::MAX);
        }
        for (at, attribute) in span.attributes.iter_mut().enumerate() {
            let is_known = alike.is_some_and(|(other, texts)| {
                let other = other.attributes.get(at);
                texts.has(at) && other.is_some_and(|other| has_same_text(attribute, other))
            });
            if is_known || !self.clean(attribute) {
                unchanged.add(at);
            }
        }
        if let Status::Error { description } = &mut span.status
            && let Some(new) = self.text(DESCRIPTION, description)
        {
            *description = new.into();
        }
        for event in &mut span.events.events {
            if let Some(new) = self.text("event.name", &event.name) {
                event.name = new.into();
            }
            keep_last_of_each_key(&mut event.attributes);
            self.clean_all(&mut event.attributes);
        }
        for link in &mut span.links.links {
            keep_last_of_each_key(&mut link.attributes);
            self.clean_all(&mut link.attributes);
        }
        unchanged
    }

    fn clean_all(&self, attributes: &mut [KeyValue]) {
        for attribute in attributes {
            self.clean(attribute);
        }
    }

    /// Filters and cuts the texts of an attribute; returns true if one changed.
    fn clean(&self, attribute: &mut KeyValue) -> bool {
        let key = attribute.key.as_str();
        let clean = |text: &mut StringValue| match self.text(key, text.as_str()) {
            Some(new) => {
                *text = new.into();
                true
            }
            None => false,
        };
        match &mut attribute.value {
            Value::String(text) => clean(text),
            Value::Array(Array::String(texts)) => {
                texts.iter_mut().fold(false, |any, text| clean(text) | any)
            }
            _ => false,
        }
    }

    /// Returns the replacement for this text; `None` if it may stay.
    pub(crate) fn text(&self, key: &str, text: &str) -> Option<String> {
        let filtered = filtered(key, text, self.filter.as_deref());
        let seen = filtered.as_deref().unwrap_or(text);
        match self.limits.value_chars {
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

/// Returns the filter's replacement for this text; `***` if the filter panics, so that no secret leaks.
fn filtered(key: &str, text: &str, filter: Option<&Filter>) -> Option<String> {
    filter.and_then(|filter| {
        catch_unwind(AssertUnwindSafe(|| filter(key, text)))
            .unwrap_or_else(|_| Some("***".to_owned()))
    })
}

/// Cuts a text to at most this many bytes, at a character boundary, and marks it as cut.
pub(crate) fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
        text.push_str(CUT);
    }
    text
}

/// Cuts a text as [`cut`] does; one that is short enough is not copied.
#[cfg(feature = "http")]
pub(crate) fn cut_where_it_is(text: Cow<'_, str>, bytes: usize) -> Cow<'_, str> {
    if text.len() > bytes {
        return cut(text.into_owned(), bytes).into();
    }
    text
}

/// Filters a name and replaces its control characters; returns true if it changed.
fn clean_name(name: &mut Cow<'static, str>, filter: Option<&Filter>) -> bool {
    let filtered = match name {
        Cow::Owned(name) => filtered("span.name", name, filter),
        // a literal is source code and contains no secret
        Cow::Borrowed(_) => None,
    };
    let mut is_changed = filtered.is_some();
    if let Some(filtered) = filtered {
        *name = filtered.into();
    }
    if name.contains(char::is_control) {
        let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        *name = name.chars().map(printable).collect::<String>().into();
        is_changed = true;
    }
    is_changed
}

/// Number of slots for the last span of each name in a batch.
const SEEN: usize = 16;

/// Last span of a batch whose name has this slot. Most spans have the keys of an earlier one, and many of its texts.
#[derive(Clone, Copy)]
struct Seen {
    at: usize,
    unchanged: Unchanged,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            at: usize::MAX,
            unchanged: Unchanged::default(),
        }
    }
}

impl Seen {
    /// Returns that span if it has the same name and the same keys as this one.
    fn alike<'a>(
        &self,
        done: &'a [SpanData],
        span: &SpanData,
    ) -> Option<(&'a SpanData, Unchanged)> {
        let other = done.get(self.at)?;
        let is_alike = same(&span.name, &other.name)
            && span.attributes.len() == other.attributes.len()
            && span
                .attributes
                .iter()
                .zip(&other.attributes)
                .all(|(one, other)| same(one.key.as_str(), other.key.as_str()));
        is_alike.then_some((other, self.unchanged))
    }
}

/// Texts of a span that are unchanged.
#[derive(Clone, Copy, Default)]
struct Unchanged {
    name: bool,
    /// Bit for each of the first 64 attributes.
    attributes: u64,
}

impl Unchanged {
    fn add(&mut self, at: usize) {
        if at < 64 {
            self.attributes |= 1 << at;
        }
    }

    fn has(self, at: usize) -> bool {
        at < 64 && self.attributes >> at & 1 == 1
    }
}

/// Reports whether two attributes have the same key, and the same text or no text. Equal positions do not prove that:
/// settling the status may have removed attributes of one span.
fn has_same_text(one: &KeyValue, other: &KeyValue) -> bool {
    if !same(one.key.as_str(), other.key.as_str()) {
        return false;
    }
    match (&one.value, &other.value) {
        (Value::String(one), Value::String(other)) => same(one.as_str(), other.as_str()),
        (Value::Bool(_) | Value::I64(_) | Value::F64(_), _) => true,
        _ => false,
    }
}

fn same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// Gives a failed span the description of its last error, and
/// removes error attributes from a span marked as successful.
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

/// Keeps one attribute for each key, at the place of its first value and with its last value.
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

/// Reports whether all keys differ. A key is compared with those before it
/// only if its length and last letters suggest that it may equal one of them.
fn all_differ(attributes: &[KeyValue]) -> bool {
    let mut marks = 0_u64;
    for (at, KeyValue { key, .. }) in attributes.iter().enumerate() {
        let mark = 1 << mixed(mark(key.as_str()));
        if marks & mark != 0 && attributes[..at].iter().any(|earlier| earlier.key == *key) {
            return false;
        }
        marks |= mark;
    }
    true
}

/// Returns a mark of a text, made from its length and last letters, which differ for most texts.
fn mark(text: &str) -> u64 {
    let last = text.as_bytes().last_chunk();
    text.len() as u64 ^ last.map_or(0, |last| u64::from(u16::from_le_bytes(*last)) << 8)
}

/// Returns a number below 64 that depends on all bits of this one.
fn mixed(mark: u64) -> u64 {
    mark.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58
}
