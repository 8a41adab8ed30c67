use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use crate::redact::REDACTED;
use crate::render::bound::Snapshot;
use crate::render::fields::{self, Begun, MAX_FIELDS};
use crate::render::formatted::{PANICKED, formatted};
use crate::render::head::{EVENT, Head, LEVELS, Layout, LineFormat};
use crate::render::losses::Counters;
use crate::render::nested::{Nested, Written};
use crate::render::scratch::Scratch;
use crate::render::static_key::StaticKey;
use crate::render::{key, scalars};
use crate::{Value, escape};

/// The longest line in bytes; a field that would make it longer is left out and counted in `fields_dropped`.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// Room for what is written behind the last field.
const TAIL_BYTES: usize = 64;

/// One line while it is rendered: its own fields are added one by one.
pub struct Line<'a> {
    scratch: &'a mut Scratch,
    format: &'a LineFormat,
    counters: &'a Counters,
    layout: Layout,
    /// The keys of all parts.
    bound_mask: u64,
    bound_fields: usize,
    /// The keys of all parts, and of what was added since.
    seen: u64,
    /// How many fields of its own it may have.
    room: usize,
    /// slog hands the newest field first: the first one of a key wins, and the order is turned round.
    newest_first: bool,
    dropped_fields: u64,
    truncated: u64,
}

impl<'a> Line<'a> {
    /// Writes everything up to the bound fields.
    #[inline]
    pub(crate) fn begin(
        scratch: &'a mut Scratch,
        format: &'a LineFormat,
        counters: &'a Counters,
        at: SystemTime,
        head: &Head<'_>,
    ) -> Self {
        let json = &mut scratch.fields.json;
        scratch.timestamps.write(at, json);
        let level = head.level as usize;
        match head.logger {
            Some(name) => {
                json.extend_from_slice(LEVELS[level].as_bytes());
                escape::json(escape::cut(name, key::MAX_KEY_BYTES), json);
                json.extend_from_slice(EVENT);
            }
            None => json.extend_from_slice(&format.root_heads[level]),
        }
        let event_start = json.len() + 1;
        let mut truncated = 0;
        match head.event.known() {
            Some(text) => truncated += u64::from(scalars::text(text, json)),
            None => {
                let mut text = std::mem::take(&mut scratch.text);
                let event = formatted(&mut text, &head.event.arguments(), counters);
                truncated += u64::from(event.write(json));
                scratch.text = text;
            }
        }
        let head_end = scratch.fields.json.len();
        Self {
            scratch,
            format,
            counters,
            layout: Layout {
                event: (event_start, head_end - 1),
                head_end,
            },
            bound_mask: 0,
            bound_fields: 0,
            seen: 0,
            room: MAX_FIELDS,
            newest_first: false,
            dropped_fields: 0,
            truncated,
        }
    }

    /// Adds bound fields; where a key was bound before, the later one wins.
    #[inline]
    pub(crate) fn bound(&mut self, snapshot: &Arc<Snapshot>) {
        let fields = &snapshot.fields;
        if self.bound_mask & fields.mask != 0 {
            for entry in &fields.entries {
                self.kill_bound(entry.key(&fields.json), key::bit(entry.key(&fields.json)));
            }
        }
        let too_long =
            self.scratch.fields.json.len() + fields.json.len() > MAX_LINE_BYTES - TAIL_BYTES;
        if too_long || self.bound_fields + fields.entries.len() > MAX_FIELDS {
            self.dropped_fields += fields.entries.len() as u64;
            return;
        }
        self.scratch.fields.json.extend_from_slice(&fields.json);
        self.bound_mask |= fields.mask;
        self.bound_fields += fields.entries.len();
        self.seen |= fields.mask;
        self.room = MAX_FIELDS - self.bound_fields;
        self.scratch.add_part(snapshot);
    }

    /// The ids of the current span, unless they are bound.
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
        let mut begun = self.scratch.fields.begin(key, &self.format.deny);
        begun.denied = false;
        let json = &mut self.scratch.fields.json;
        json.push(b'"');
        for byte in bytes {
            json.push(escape::HEX[usize::from(byte >> 4)]);
            json.push(escape::HEX[usize::from(byte & 15)]);
        }
        json.push(b'"');
        self.seen |= begun.bit;
        self.scratch.fields.keep(begun);
    }

    /// From here on fields come newest first, as slog hands them.
    pub(crate) fn newest_first(&mut self) {
        self.newest_first = true;
    }

    fn bound_position(&self, key: &[u8], bit: u64) -> Option<(u32, u32)> {
        self.scratch
            .parts()
            .iter()
            .enumerate()
            .rev()
            .find_map(|(part, snapshot)| {
                let entry = snapshot.fields.position(key, bit)?;
                Some((part as u32, entry as u32))
            })
    }

    #[inline]
    fn kill_bound(&mut self, key: &[u8], bit: u64) {
        if self.bound_mask & bit != 0
            && let Some(at) = self.bound_position(key, bit)
        {
            self.scratch.dead.push(at);
        }
    }

    /// Adds a field, whose value the closure writes.
    #[inline]
    pub(crate) fn field(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        if self.has_room() {
            let begun = self.scratch.fields.begin(key, &self.format.deny);
            self.complete(begun, value);
        }
    }

    /// The same for a key of a macro. The quote that text begins with is written already.
    #[inline]
    fn put(&mut self, key: &'static StaticKey, is_text: bool, value: impl FnOnce(&mut Self)) {
        if !self.has_room() {
            return;
        }
        let (fields, deny) = (&mut self.scratch.fields, &self.format.deny);
        let begun = if key.usual {
            fields.begin_static(key, is_text, deny)
        } else {
            let begun = fields.begin(key.name(), deny);
            if is_text && !begun.denied {
                fields.json.push(b'"');
            }
            begun
        };
        self.complete(begun, value);
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        let has_room = self.scratch.fields.entries.len() < self.room;
        self.dropped_fields += u64::from(!has_room);
        has_room
    }

    #[inline]
    fn complete(&mut self, begun: Begun, value: impl FnOnce(&mut Self)) {
        if begun.denied {
            scalars::text(REDACTED, &mut self.scratch.fields.json);
        } else {
            value(self);
        }
        let end = self.scratch.fields.json.len();
        if self.seen & begun.bit != 0 || end > MAX_LINE_BYTES - TAIL_BYTES {
            return self.finish(begun);
        }
        self.seen |= begun.bit;
        self.scratch.fields.keep(begun);
    }

    pub(crate) fn put_bool(&mut self, key: &'static StaticKey, value: bool) {
        self.put(key, false, |line| scalars::boolean(value, line.json()));
    }

    pub(crate) fn put_u64(&mut self, key: &'static StaticKey, value: u64) {
        self.put(key, false, |line| scalars::integer(value, line.json()));
    }

    pub(crate) fn put_i64(&mut self, key: &'static StaticKey, value: i64) {
        self.put(key, false, |line| scalars::integer(value, line.json()));
    }

    pub(crate) fn put_f64(&mut self, key: &'static StaticKey, value: f64) {
        self.put(key, false, |line| scalars::float(value, line.json()));
    }

    pub(crate) fn put_text(&mut self, key: &'static StaticKey, value: &str) {
        if value.len() <= scalars::MAX_VALUE_BYTES {
            self.put(key, true, |line| scalars::quoted(value, line.json()));
        } else {
            self.put(key, false, |line| line.text(value));
        }
    }

    pub(crate) fn put_arguments(&mut self, key: &'static StaticKey, value: &fmt::Arguments<'_>) {
        self.put(key, false, |line| line.arguments(value));
    }

    #[inline(never)]
    fn finish(&mut self, begun: Begun) {
        if self.scratch.fields.json.len() > MAX_LINE_BYTES - TAIL_BYTES {
            return self.leave_out(begun);
        }
        if self.bound_mask & begun.bit != 0 {
            let at = self.bound_position(begun.key(&self.scratch.fields.json), begun.bit);
            self.scratch.dead.extend(at);
        }
        self.scratch.fields.finish(begun, self.newest_first);
    }

    #[cold]
    fn leave_out(&mut self, begun: Begun) {
        self.scratch.fields.json.truncate(begun.start);
        self.dropped_fields += 1;
    }

    #[inline]
    pub(crate) fn json(&mut self) -> &mut Vec<u8> {
        &mut self.scratch.fields.json
    }

    #[inline]
    pub(crate) fn text(&mut self, text: &str) {
        let cut = scalars::text(text, self.json());
        self.truncated += u64::from(cut);
    }

    /// Formats a value, and survives one that panics, fails, or logs meanwhile.
    pub(crate) fn arguments(&mut self, arguments: &fmt::Arguments<'_>) {
        if let Some(known) = arguments.as_str() {
            return self.text(known);
        }
        let mut text = std::mem::take(&mut self.scratch.text);
        let formatted = formatted(&mut text, arguments, self.counters);
        let cut = formatted.write(self.json());
        self.truncated += u64::from(cut);
        self.scratch.text = text;
    }

    /// A field whose value is known as one of ours.
    pub(crate) fn value(&mut self, key: &str, value: &Value) {
        self.field(key, |line| match value {
            Value::Text(text) => line.text(text),
            other => fields::value_json(other, &line.format.deny, &mut line.scratch.fields.json),
        });
    }

    pub(crate) fn nested(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        let start = self.json().len();
        let json = &mut self.scratch.fields.json;
        let deny = &self.format.deny;
        let written = catch_unwind(AssertUnwindSafe(|| Nested::write(value, deny, json)));
        match written {
            Ok(Written::Whole) => {}
            Ok(Written::TooLong) => self.truncated += 1,
            Ok(Written::Failed) => self.counters.value_error(),
            Err(_) => {
                self.json().truncate(start);
                self.counters.value_error();
                self.text(PANICKED);
            }
        }
    }

    /// Lets somebody add fields; what a panic left half done is taken back.
    #[inline]
    pub(crate) fn fill(&mut self, fill: &mut dyn FnMut(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| fill(self))).is_err() {
            self.counters.value_error();
            let end = self.scratch.fields.entries.last();
            let own_start = self.layout.head_end + self.bound_bytes();
            let end = end.map_or(own_start, |entry| entry.end as usize);
            self.scratch.fields.json.truncate(end);
            self.field("log_error", |line| {
                line.text("a value panicked, what follows it is missing")
            });
        }
    }

    fn bound_bytes(&self) -> usize {
        self.scratch
            .parts()
            .iter()
            .map(|part| part.fields.json.len())
            .sum()
    }

    /// Puts the line into its final form, with its newline.
    #[inline]
    pub(crate) fn end(mut self) -> Layout {
        let has_dead =
            self.newest_first || !self.scratch.dead.is_empty() || self.scratch.fields.has_dead;
        if has_dead {
            self.rebuild();
        }
        if self.dropped_fields > 0 || self.truncated > 0 {
            self.tell_losses();
        }
        self.scratch.fields.json.extend_from_slice(b"}\n");
        self.layout
    }

    #[cold]
    fn tell_losses(&mut self) {
        self.counters
            .truncated(self.truncated + self.dropped_fields);
        if self.dropped_fields > 0 {
            let dropped = self.dropped_fields;
            // a field of the user's of this name would be the second one
            let key = if self.is_taken(b"fields_dropped") {
                "fields_dropped_"
            } else {
                "fields_dropped"
            };
            let begun = self.scratch.fields.begin(key, &self.format.deny);
            scalars::integer(dropped, &mut self.scratch.fields.json);
            self.scratch.fields.finish(begun, false);
        }
    }

    fn is_taken(&self, key: &[u8]) -> bool {
        let bit = key::bit(key);
        self.scratch.fields.position(key, bit).is_some() || self.bound_position(key, bit).is_some()
    }

    /// Writes the line again without dead fields, and with its own fields in the order of the call.
    #[cold]
    fn rebuild(&mut self) {
        let Scratch {
            fields,
            spare,
            parts,
            part_count,
            dead,
            ..
        } = &mut *self.scratch;
        spare.clear();
        spare.extend_from_slice(&fields.json[..self.layout.head_end]);
        for (index, snapshot) in parts[..*part_count].iter().enumerate() {
            for (at, entry) in snapshot.fields.entries.iter().enumerate() {
                if !dead.contains(&(index as u32, at as u32)) {
                    spare.extend_from_slice(entry.bytes(&snapshot.fields.json));
                }
            }
        }
        fields.entries.retain(|entry| entry.alive);
        if self.newest_first {
            fields.entries.reverse();
        }
        for entry in &mut fields.entries {
            let start = spare.len() as u32;
            spare.extend_from_slice(entry.bytes(&fields.json));
            (entry.start, entry.end) = (start, spare.len() as u32);
        }
        std::mem::swap(&mut fields.json, spare);
    }
}
