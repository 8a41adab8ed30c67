use std::borrow::Cow;
use std::ops::Range;

use crate::Value;
use crate::escape;
use crate::redact::REDACTED;
use crate::redact::deny::DenyList;
use crate::render::key::{MAX_KEY_BYTES, RESERVED, RESERVED_BITS, bit};
use crate::render::nested::Nested;
use crate::render::raw::Raw;
use crate::render::scalars::{self, boolean, float, integer, text};
use crate::render::static_key::StaticKey;

/// Maximum number of fields per line; further fields are counted in `fields_dropped`.
pub const MAX_FIELDS: usize = 256;

/// Rendered fields, each as `,"key":value`, in one buffer, without duplicate keys.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) json: Vec<u8>,
    pub(crate) spans: Vec<FieldSpan>,
    /// Bloom filter of the keys: a key whose bit is not set is not present.
    pub(crate) mask: u64,
    /// Set if a span is overridden.
    pub(crate) has_overridden: bool,
    /// Number of fields that were left out because there were too many.
    pub(crate) dropped: u64,
}

/// Position of a field in its buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldSpan {
    pub(crate) start: u32,
    pub(crate) end: u32,
    key_len: u32,
    /// Set if a later field with the same key replaced this one.
    pub(crate) overridden: bool,
}

/// Field whose key is written, but not yet its value.
#[derive(Clone, Copy)]
pub(crate) struct PendingField {
    pub(crate) start: usize,
    key_len: usize,
    pub(crate) bit: u64,
    /// Set if the value must not be written.
    pub(crate) denied: bool,
}

impl FieldSpan {
    /// Returns the key, escaped.
    pub(crate) fn key<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        let at = self.start as usize + 2;
        &json[at..at + self.key_len as usize]
    }

    /// Returns the value as JSON.
    pub(crate) fn value<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        &json[self.start as usize + self.key_len as usize + 4..self.end as usize]
    }

    /// Returns the whole field.
    pub(crate) fn bytes<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        &json[self.start as usize..self.end as usize]
    }
}

impl PendingField {
    /// Returns a field with a static key.
    #[inline(always)]
    pub(crate) fn of(start: usize, key: &StaticKey) -> Self {
        Self {
            start,
            key_len: key.name.len(),
            bit: key.bit,
            denied: false,
        }
    }

    /// Returns the range of the key in its buffer.
    pub(crate) fn key_range(&self) -> Range<usize> {
        self.start + 2..self.start + 2 + self.key_len
    }

    /// Returns the key, escaped.
    pub(crate) fn key<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        &json[self.start + 2..self.start + 2 + self.key_len]
    }
}

impl Fields {
    /// Writes a key and its colon.
    #[inline]
    pub(crate) fn begin(&mut self, key: &str, deny: &DenyList) -> PendingField {
        let key = match key.len() {
            1..=MAX_KEY_BYTES => key,
            0 => "_",
            _ => return self.begin_long(key, deny),
        };
        let bit = bit(key.as_bytes());
        if !escape::is_plain(key) || bit & RESERVED_BITS != 0 {
            return self.begin_unusual(key, deny);
        }
        let start = self.json.len();
        self.json.extend_from_slice(b",\"");
        self.json.extend_from_slice(key.as_bytes());
        self.json.extend_from_slice(b"\":");
        PendingField {
            start,
            key_len: key.len(),
            bit,
            denied: deny.has(key.as_bytes()),
        }
    }

    /// Same as [`begin`](Self::begin) for a static key; also writes the
    /// opening quote of a text, unless the value must not be written.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn begin_static(&mut self, key: &StaticKey, deny: &DenyList) -> PendingField {
        let denied = deny.has_with(key.name.as_bytes(), key.ending);
        let start = self.json.len();
        let end = start + key.name.len() + 4 + usize::from(!denied);
        self.json.extend_from_slice(&key.written);
        self.json.truncate(end);
        let pending = PendingField::of(start, key);
        PendingField { denied, ..pending }
    }

    /// Same as [`begin`](Self::begin) for a key that is cut; the whole key decides if the value may be written.
    #[cold]
    fn begin_long(&mut self, key: &str, deny: &DenyList) -> PendingField {
        let kept = scalars::kept(key, key.len(), MAX_KEY_BYTES);
        let mut pending = self.begin_unusual(&kept, deny);
        pending.denied |= deny.has(key.as_bytes());
        pending
    }

    /// Same as [`begin`](Self::begin) for a key that must be escaped, or may be reserved.
    #[cold]
    fn begin_unusual(&mut self, key: &str, deny: &DenyList) -> PendingField {
        let start = self.json.len();
        self.json.extend_from_slice(b",\"");
        escape::json(key, &mut self.json);
        if RESERVED.contains(&&self.json[start + 2..]) {
            self.json.push(b'_');
        }
        let written = &self.json[start + 2..];
        let (key_len, bit) = (written.len(), bit(written));
        self.json.extend_from_slice(b"\":");
        PendingField {
            start,
            key_len,
            bit,
            denied: deny.has(key.as_bytes()),
        }
    }

    /// Completes a field; it overrides an older field with the same key, unless `older_wins`.
    #[inline]
    pub(crate) fn finish(&mut self, pending: PendingField, older_wins: bool) {
        if self.mask & pending.bit != 0 && !self.wins(pending, older_wins) {
            return;
        }
        self.keep(pending);
    }

    /// Completes a field whose key is new.
    #[inline]
    pub(crate) fn keep(&mut self, pending: PendingField) {
        self.mask |= pending.bit;
        self.spans.push(FieldSpan {
            start: pending.start as u32,
            end: self.json.len() as u32,
            key_len: pending.key_len as u32,
            overridden: false,
        });
    }

    /// Decides if a field stays although an older one may have its key.
    fn wins(&mut self, pending: PendingField, older_wins: bool) -> bool {
        let (key, json) = (pending.key(&self.json), &self.json);
        let twin = self
            .spans
            .iter_mut()
            .find(|span| !span.overridden && span.key(json) == key);
        match twin {
            Some(_) if older_wins => {
                self.json.truncate(pending.start);
                return false;
            }
            Some(older) => {
                older.overridden = true;
                self.has_overridden = true;
            }
            None => {}
        }
        true
    }

    /// Returns the index of the field with this key.
    pub(crate) fn position(&self, key: &[u8], bit: u64) -> Option<usize> {
        if self.mask & bit == 0 {
            return None;
        }
        self.spans
            .iter()
            .position(|span| !span.overridden && span.key(&self.json) == key)
    }

    /// Returns the fields of these pairs; if a key occurs several times, the last one counts.
    pub(crate) fn of(pairs: &[(Cow<'static, str>, Value)], deny: &DenyList) -> Self {
        let mut fields = Self {
            dropped: pairs.len().saturating_sub(MAX_FIELDS) as u64,
            ..Self::default()
        };
        for (key, value) in pairs.iter().take(MAX_FIELDS) {
            let pending = fields.begin(key, deny);
            if pending.denied {
                text(REDACTED, &mut fields.json);
            } else {
                value_json(value, key.as_bytes(), deny, &mut fields.json);
            }
            fields.finish(pending, false);
        }
        fields.compact();
        fields
    }

    /// Removes the gaps left by overridden fields.
    fn compact(&mut self) {
        if !std::mem::take(&mut self.has_overridden) {
            return;
        }
        let json = std::mem::take(&mut self.json);
        self.spans.retain(|span| !span.overridden);
        for span in &mut self.spans {
            let start = self.json.len() as u32;
            self.json.extend_from_slice(span.bytes(&json));
            (span.start, span.end) = (start, self.json.len() as u32);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.json.clear();
        self.spans.clear();
        self.mask = 0;
        self.has_overridden = false;
    }
}

pub(crate) fn value_json(value: &Value, key: &[u8], deny: &DenyList, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => boolean(*value, out),
        Value::Int(value) => integer(*value, out),
        Value::UInt(value) => integer(*value, out),
        Value::Float(value) => float(*value, out),
        Value::Text(value) => {
            match scalars::has_document(value, deny) {
                true => scalars::document(value, value.len(), deny, out),
                false => text(value, out),
            };
        }
        Value::Json(json) => {
            Nested::write_hidden(&Raw::new(json.as_str()), key, deny, out);
        }
    }
}
