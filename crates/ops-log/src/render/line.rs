use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use crate::redact::{REDACTED, scrub};
use crate::render::bound::BoundFields;
use crate::render::callback::caught;
use crate::render::fields::{self, MAX_FIELDS, PendingField};
use crate::render::formatted::{PANICKED, formatted};
use crate::render::head::{EVENT, EventSpan, LEVELS, LineFormat, RecordMeta};
use crate::render::line_buffers::LineBuffers;
use crate::render::losses::Counters;
use crate::render::nested::{Nested, Written};
use crate::render::short_field::{self, ShortValue};
use crate::render::static_key::StaticKey;
use crate::render::{key, scalars};
use crate::{Value, escape};

/// Maximum length of a line in bytes; a field that would exceed it is left out and counted in `fields_dropped`.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// Space reserved for what is written after the last field.
const TAIL_BYTES: usize = 64;

/// Maximum length of a line that has space for any short field.
const SHORT_LINE_BYTES: usize = MAX_LINE_BYTES - TAIL_BYTES - short_field::ROOM_BYTES;

/// Line that is being rendered; its fields are added one by one.
pub struct Line<'a> {
    buffers: &'a mut LineBuffers,
    format: &'a LineFormat,
    counters: &'a Counters,
    event_span: EventSpan,
    /// Keys of all bound layers, as a mask.
    bound_mask: u64,
    /// Number of bound fields that are not overridden.
    bound_count: usize,
    /// Set if the checked parts may contain a URL or a query.
    has_url: bool,
    /// Set if fields were added that were not checked.
    has_unseen: bool,
    /// Position after the bound layers.
    own_start: usize,
    /// Keys of all bound layers and of fields added since, as a mask.
    seen: u64,
    /// Maximum number of own fields.
    room: usize,
    /// Set if slog passes the newest field first: then the first field of a key wins, and the order is reversed.
    newest_first: bool,
    /// Range of the key whose value is being written.
    key: Range<usize>,
    dropped_fields: u64,
    truncated: u64,
}

/// Value of a common type.
enum Plain<'a> {
    Bool(bool),
    UInt(u64),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

impl<'a> Line<'a> {
    /// Writes everything before the bound fields.
    #[inline]
    pub(crate) fn begin(
        buffers: &'a mut LineBuffers,
        format: &'a LineFormat,
        counters: &'a Counters,
        at: SystemTime,
        meta: &RecordMeta<'_>,
    ) -> Self {
        let json = &mut buffers.fields.json;
        buffers.timestamps.write(at, json);
        let level = meta.level as usize;
        let mut has_url = false;
        match meta.logger {
            Some(name) => {
                has_url |= scrub::has_url(name.as_bytes());
                json.extend_from_slice(LEVELS[level].as_bytes());
                if name.len() <= key::MAX_KEY_BYTES {
                    escape::json(name, json);
                } else {
                    let kept = scalars::kept(name, name.len(), key::MAX_KEY_BYTES);
                    escape::json(&kept, json);
                }
                json.extend_from_slice(EVENT);
            }
            None => {
                has_url |= format.root_has_url;
                json.extend_from_slice(&format.root_heads[level]);
            }
        }
        let event_start = json.len() + 1;
        let mut truncated = 0;
        match meta.event.known() {
            // text without quotes is not a document
            Some(text) if escape::quote_short(text, json) => {}
            Some(text) if scalars::has_document(text, &format.deny) => {
                truncated += u64::from(scalars::document(text, text.len(), &format.deny, json));
            }
            Some(text) if text.len() <= scalars::MAX_VALUE_BYTES => {
                has_url |= scalars::quoted(text, json);
            }
            Some(text) => {
                has_url |= scrub::has_url(text.as_bytes());
                truncated += u64::from(scalars::text(text, json));
            }
            None => {
                let mut text = std::mem::take(&mut buffers.text);
                let event = formatted(&mut text, &meta.event.arguments(), counters);
                truncated += u64::from(event.write(&format.deny, json));
                has_url |= scrub::has_url(text.as_bytes());
                buffers.text = text;
            }
        }
        let head_end = buffers.fields.json.len();
        Self {
            buffers,
            format,
            counters,
            event_span: EventSpan {
                event: (event_start, head_end - 1),
                head_end,
            },
            bound_mask: 0,
            bound_count: 0,
            has_url,
            has_unseen: false,
            own_start: head_end,
            seen: 0,
            room: MAX_FIELDS,
            newest_first: false,
            key: 0..0,
            dropped_fields: 0,
            truncated,
        }
    }

    /// Adds bound fields; if a key was bound before, the later one wins.
    #[inline]
    pub(crate) fn bound(&mut self, layer: &Arc<BoundFields>) {
        match layer.rerendered_by(&self.format.deny) {
            None => self.add_layer(layer),
            Some(again) => self.add_layer(&again),
        }
    }

    #[inline]
    fn add_layer(&mut self, layer: &Arc<BoundFields>) {
        let fields = &layer.fields;
        let mut bound_count = self.bound_count + fields.spans.len();
        if self.bound_mask & fields.mask != 0 {
            let before = self.buffers.overridden.len();
            for span in &fields.spans {
                self.override_bound(span.key(&fields.json), key::bit(span.key(&fields.json)));
            }
            // nested spans may have the same fields any number of times
            bound_count -= self.buffers.overridden.len() - before;
        }
        self.dropped_fields += fields.dropped;
        let too_long =
            self.buffers.fields.json.len() + fields.json.len() > MAX_LINE_BYTES - TAIL_BYTES;
        if too_long || bound_count > MAX_FIELDS {
            self.dropped_fields += fields.spans.len() as u64;
            return;
        }
        self.buffers.fields.json.extend_from_slice(&fields.json);
        self.bound_mask |= fields.mask;
        self.bound_count = bound_count;
        self.has_url |= layer.has_url;
        self.own_start = self.buffers.fields.json.len();
        self.seen |= fields.mask;
        self.room = MAX_FIELDS - self.bound_count;
        self.buffers.add_bound_layer(layer);
    }

    /// Adds the ids of the current span, unless they are bound.
    #[inline]
    pub(crate) fn trace_ids(&mut self, trace_id: &[u8], span_id: &[u8]) {
        self.hex("trace_id", trace_id);
        if self.format.span_id {
            self.hex("span_id", span_id);
        }
    }

    fn hex(&mut self, key: &'static str, bytes: &[u8]) {
        let bit = key::bit(key.as_bytes());
        if self.bound_mask & bit != 0 && self.bound_position(key.as_bytes(), bit).is_some() {
            return;
        }
        let mut pending = self.buffers.fields.begin(key, &self.format.deny);
        pending.denied = false;
        let json = &mut self.buffers.fields.json;
        json.push(b'"');
        json.extend_from_slice(escape::hex(bytes, &mut [0; 32]).as_bytes());
        json.push(b'"');
        self.seen |= pending.bit;
        self.buffers.fields.keep(pending);
    }

    /// Expects fields newest first from now on, as slog passes them.
    pub(crate) fn newest_first(&mut self) {
        self.newest_first = true;
    }

    fn bound_position(&self, key: &[u8], bit: u64) -> Option<(u32, u32)> {
        self.buffers
            .bound_layers()
            .iter()
            .enumerate()
            .rev()
            .find_map(|(index, layer)| {
                let span = layer.fields.position(key, bit)?;
                Some((index as u32, span as u32))
            })
    }

    #[inline]
    fn override_bound(&mut self, key: &[u8], bit: u64) {
        if self.bound_mask & bit != 0
            && let Some(at) = self.bound_position(key, bit)
        {
            self.buffers.overridden.push(at);
        }
    }

    /// Adds a field, whose value is written by the closure.
    #[inline]
    pub(crate) fn field(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        self.has_unseen = true;
        self.add(key, value);
    }

    /// Adds a field of a macro that is not short.
    #[inline(never)]
    fn put(&mut self, key: &'static StaticKey, value: Plain<'_>) {
        // short fields do not grow a line: this makes space for the next one
        self.json().reserve(short_field::ROOM_BYTES);
        self.has_unseen |= !key.usual;
        self.add(key.name(), |line| match value {
            Plain::Bool(value) => scalars::boolean(value, line.json()),
            Plain::UInt(value) => scalars::integer(value, line.json()),
            Plain::Int(value) => scalars::integer(value, line.json()),
            Plain::Float(value) => scalars::float(value, line.json()),
            Plain::Text(text) => line.seen_text(text),
        });
    }

    #[inline]
    fn add(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        if self.has_room() {
            let pending = self.buffers.fields.begin(key, &self.format.deny);
            self.key = pending.key_range();
            self.complete(pending, value);
        }
    }

    /// Adds a field of a macro with a usual key and a short value; returns `false` for any other field.
    #[inline(always)]
    fn put_short(&mut self, key: &'static StaticKey, value: impl ShortValue) -> bool {
        let fields = &mut self.buffers.fields;
        if !key.usual || self.seen & key.bit != 0 || fields.spans.len() >= self.room {
            return false;
        }
        if self.format.deny.may_have(key.ending) || fields.json.len() > SHORT_LINE_BYTES {
            return false;
        }
        let Some(start) = short_field::write(&mut fields.json, key, value) else {
            return false;
        };
        self.seen |= key.bit;
        fields.keep(PendingField::of(start, key));
        true
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        if self.buffers.fields.spans.len() < self.room {
            return true;
        }
        self.dropped_fields += 1;
        false
    }

    #[inline]
    fn complete(&mut self, pending: PendingField, value: impl FnOnce(&mut Self)) {
        if pending.denied {
            scalars::text(REDACTED, &mut self.buffers.fields.json);
        } else {
            value(self);
        }
        let end = self.buffers.fields.json.len();
        if self.seen & pending.bit != 0 || end > MAX_LINE_BYTES - TAIL_BYTES {
            return self.finish(pending);
        }
        self.seen |= pending.bit;
        self.buffers.fields.keep(pending);
    }

    /// Adds file and line of the call, unless the line has its own location.
    #[cold]
    pub(crate) fn call_site(&mut self, meta: &RecordMeta<'_>) {
        let Some((file, line)) = meta.location.filter(|(file, _)| !file.is_empty()) else {
            return;
        };
        if !self.is_taken(b"location") {
            let key = const { &StaticKey::new("location") };
            self.put_arguments(key, &format_args!("{file}:{line}"));
        }
    }

    /// Adds the number of suppressed lines before this one.
    #[cold]
    pub(crate) fn suppressed(&mut self, lines: u64) {
        let key = match self.is_taken(b"suppressed") {
            true => const { &StaticKey::new("suppressed_") },
            false => const { &StaticKey::new("suppressed") },
        };
        self.put_u64(key, lines);
    }

    /// Marks the line as written late.
    #[cold]
    pub(crate) fn late(&mut self) {
        let key = match self.is_taken(b"late") {
            true => const { &StaticKey::new("late_") },
            false => const { &StaticKey::new("late") },
        };
        self.put_bool(key, true);
    }

    pub(crate) fn put_bool(&mut self, key: &'static StaticKey, value: bool) {
        if !self.put_short(key, value) {
            self.put(key, Plain::Bool(value));
        }
    }

    pub(crate) fn put_u64(&mut self, key: &'static StaticKey, value: u64) {
        if !self.put_short(key, value) {
            self.put(key, Plain::UInt(value));
        }
    }

    pub(crate) fn put_i64(&mut self, key: &'static StaticKey, value: i64) {
        if !self.put_short(key, value) {
            self.put(key, Plain::Int(value));
        }
    }

    pub(crate) fn put_f64(&mut self, key: &'static StaticKey, value: f64) {
        if !self.put_short(key, value) {
            self.put(key, Plain::Float(value));
        }
    }

    pub(crate) fn put_text(&mut self, key: &'static StaticKey, value: &str) {
        if !self.put_short(key, value) {
            self.put(key, Plain::Text(value));
        }
    }

    pub(crate) fn put_arguments(&mut self, key: &'static StaticKey, value: &fmt::Arguments<'_>) {
        self.field(key.name(), |line| line.arguments(value));
    }

    #[inline(never)]
    fn finish(&mut self, pending: PendingField) {
        if self.buffers.fields.json.len() > MAX_LINE_BYTES - TAIL_BYTES {
            return self.leave_out(pending);
        }
        if self.bound_mask & pending.bit != 0 {
            let at = self.bound_position(pending.key(&self.buffers.fields.json), pending.bit);
            self.buffers.overridden.extend(at);
        }
        self.buffers.fields.finish(pending, self.newest_first);
    }

    #[cold]
    fn leave_out(&mut self, pending: PendingField) {
        self.buffers.fields.json.truncate(pending.start);
        self.dropped_fields += 1;
    }

    #[inline]
    pub(crate) fn json(&mut self) -> &mut Vec<u8> {
        &mut self.buffers.fields.json
    }

    #[inline]
    pub(crate) fn text(&mut self, text: &str) {
        if scalars::has_document(text, &self.format.deny) {
            return self.document(text);
        }
        let cut = scalars::text(text, self.json());
        self.truncated += u64::from(cut);
    }

    /// Adds a text with JSON documents.
    #[cold]
    fn document(&mut self, text: &str) {
        let json = &mut self.buffers.fields.json;
        let cut = scalars::document(text, text.len(), &self.format.deny, json);
        self.truncated += u64::from(cut);
    }

    /// Adds a text, and checks it for a URL or a query.
    fn seen_text(&mut self, text: &str) {
        if scalars::has_document(text, &self.format.deny) {
            return self.document(text);
        }
        if text.len() > scalars::MAX_VALUE_BYTES {
            self.has_unseen = true;
            return self.text(text);
        }
        self.has_url |= scalars::quoted(text, self.json());
    }

    /// Formats a value; a value that panics, fails, or logs meanwhile does no harm.
    pub(crate) fn arguments(&mut self, arguments: &fmt::Arguments<'_>) {
        if let Some(known) = arguments.as_str() {
            return self.text(known);
        }
        let mut text = std::mem::take(&mut self.buffers.text);
        let formatted = formatted(&mut text, arguments, self.counters);
        let cut = formatted.write(&self.format.deny, &mut self.buffers.fields.json);
        self.truncated += u64::from(cut);
        self.buffers.text = text;
    }

    /// Adds a field with a [`Value`].
    pub(crate) fn value(&mut self, key: &str, value: &Value) {
        self.field(key, |line| match value {
            Value::Text(text) => line.text(text),
            other => fields::value_json(
                other,
                key.as_bytes(),
                &line.format.deny,
                &mut line.buffers.fields.json,
            ),
        });
    }

    /// Serializes a value; a value that panics, fails, or is too long does no harm.
    pub(crate) fn nested(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        let start = self.json().len();
        let json = &mut self.buffers.fields.json;
        let (key, deny) = (json[self.key.clone()].to_vec(), &self.format.deny);
        match caught(|| Nested::write_hidden(value, &key, deny, json)) {
            Some(Written::Whole) => {}
            Some(Written::TooLong) => self.truncated += 1,
            Some(Written::Failed) => self.counters.value_error(),
            None => {
                self.json().truncate(start);
                self.counters.value_error();
                self.text(PANICKED);
            }
        }
    }

    /// Calls `fill` to add fields; an incomplete field left by a panic is removed.
    #[inline]
    pub(crate) fn fill(&mut self, fill: &mut dyn FnMut(&mut Self)) {
        if caught(|| fill(self)).is_none() {
            self.counters.value_error();
            let end = self.buffers.fields.spans.last();
            let end = end.map_or(self.own_start, |span| span.end as usize);
            self.buffers.fields.json.truncate(end);
            self.field("log_error", |line| {
                line.text("a value panicked; the fields after it are missing")
            });
        }
    }

    /// Completes the line, with its newline.
    #[inline(always)]
    pub(crate) fn end(&mut self) -> EventSpan {
        // in most lines only the texts were checked, one by one
        self.buffers.has_url = self.has_url
            || (self.has_unseen && scrub::has_url(&self.buffers.fields.json[self.own_start..]));
        let has_overridden = self.newest_first
            || !self.buffers.overridden.is_empty()
            || self.buffers.fields.has_overridden;
        if has_overridden {
            self.rebuild();
        }
        if self.dropped_fields > 0 || self.truncated > 0 {
            self.write_fields_dropped();
        }
        self.buffers.fields.json.extend_from_slice(b"}\n");
        self.event_span
    }

    #[cold]
    fn write_fields_dropped(&mut self) {
        self.counters
            .truncated(self.truncated + self.dropped_fields);
        if self.dropped_fields > 0 {
            let dropped = self.dropped_fields;
            // a field of the application with this name would be a duplicate
            let key = if self.is_taken(b"fields_dropped") {
                "fields_dropped_"
            } else {
                "fields_dropped"
            };
            let pending = self.buffers.fields.begin(key, &self.format.deny);
            scalars::integer(dropped, &mut self.buffers.fields.json);
            self.buffers.fields.finish(pending, false);
        }
    }

    fn is_taken(&self, key: &[u8]) -> bool {
        let bit = key::bit(key);
        self.buffers.fields.position(key, bit).is_some() || self.bound_position(key, bit).is_some()
    }

    /// Writes the line again without overridden fields, and with its own fields in the order of the call.
    #[cold]
    fn rebuild(&mut self) {
        let LineBuffers {
            fields,
            spare,
            bound_layers,
            bound_layer_count,
            overridden,
            ..
        } = &mut *self.buffers;
        spare.clear();
        spare.extend_from_slice(&fields.json[..self.event_span.head_end]);
        overridden.sort_unstable();
        for (index, layer) in bound_layers[..*bound_layer_count].iter().enumerate() {
            for (at, span) in layer.fields.spans.iter().enumerate() {
                let place = (index as u32, at as u32);
                if overridden.binary_search(&place).is_err() {
                    spare.extend_from_slice(span.bytes(&layer.fields.json));
                }
            }
        }
        fields.spans.retain(|span| !span.overridden);
        if self.newest_first {
            fields.spans.reverse();
        }
        for span in &mut fields.spans {
            let start = spare.len() as u32;
            spare.extend_from_slice(span.bytes(&fields.json));
            (span.start, span.end) = (start, spare.len() as u32);
        }
        std::mem::swap(&mut fields.json, spare);
    }
}
