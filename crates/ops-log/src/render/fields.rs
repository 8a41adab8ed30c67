use std::borrow::Cow;

use crate::redact::REDACTED;
use crate::redact::deny::DenyList;
use crate::render::nested::Nested;
use crate::render::static_key::StaticKey;
use crate::{Value, escape};

/// The longest value, in bytes before escaping; what is longer is cut and says how much is missing.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

/// The longest key in bytes; what is longer is cut.
pub const MAX_KEY_BYTES: usize = 256;

/// Fields of one line; more are counted in its field `fields_dropped`.
pub const MAX_FIELDS: usize = 256;

/// The keys that are ours on every line: a field of such a name gets a `_` behind it.
const RESERVED: [&[u8]; 4] = [b"timestamp", b"level", b"logger", b"event"];

/// Rendered fields, each `,"key":value`, in one buffer, no key twice.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) json: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    /// One bit for the keys in it: where a key's bit is missing, the key is.
    pub(crate) mask: u64,
    /// Whether any entry is dead.
    pub(crate) has_dead: bool,
}

/// Where a field stands in its buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) start: u32,
    pub(crate) end: u32,
    key_len: u32,
    /// Cleared where a later field of the same key won.
    pub(crate) alive: bool,
}

/// A key that is written and waits for its value.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) start: usize,
    key_len: usize,
    pub(crate) bit: u64,
    /// Its value may not be written.
    pub(crate) denied: bool,
}

impl Entry {
    /// The key, escaped.
    pub(crate) fn key<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        let at = self.start as usize + 2;
        &json[at..at + self.key_len as usize]
    }

    /// The value as JSON.
    pub(crate) fn value<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        &json[self.start as usize + self.key_len as usize + 4..self.end as usize]
    }

    /// The whole field.
    pub(crate) fn bytes<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        &json[self.start as usize..self.end as usize]
    }
}

impl Begun {
    /// The key, escaped.
    pub(crate) fn key<'a>(&self, json: &'a [u8]) -> &'a [u8] {
        &json[self.start + 2..self.start + 2 + self.key_len]
    }
}

impl Fields {
    /// Writes a key and the colon behind it.
    #[inline]
    pub(crate) fn begin(&mut self, key: &str, deny: &DenyList) -> Begun {
        let key = match key.len() {
            1..=MAX_KEY_BYTES => key,
            0 => "_",
            _ => escape::cut(key, MAX_KEY_BYTES),
        };
        let bit = bit(key.as_bytes());
        if !escape::is_plain(key) || bit & RESERVED_BITS != 0 {
            return self.begin_unusual(key, deny);
        }
        let start = self.json.len();
        self.json.extend_from_slice(b",\"");
        self.json.extend_from_slice(key.as_bytes());
        self.json.extend_from_slice(b"\":");
        Begun {
            start,
            key_len: key.len(),
            bit,
            denied: deny.has(key.as_bytes()),
        }
    }

    /// The same for a key that was looked at when it was compiled; with the quote that text begins with, unless the
    /// value may not be written.
    #[inline]
    pub(crate) fn begin_static(
        &mut self,
        key: &StaticKey,
        is_text: bool,
        deny: &DenyList,
    ) -> Begun {
        let denied = deny.has_with(key.name.as_bytes(), key.ending);
        let start = self.json.len();
        let end = start + key.name.len() + 4 + usize::from(is_text && !denied);
        self.json.extend_from_slice(&key.written);
        self.json.truncate(end);
        Begun {
            start,
            key_len: key.name.len(),
            bit: key.bit,
            denied,
        }
    }

    /// The same for a key that has to be escaped, or may be one of ours.
    #[cold]
    fn begin_unusual(&mut self, key: &str, deny: &DenyList) -> Begun {
        let start = self.json.len();
        self.json.extend_from_slice(b",\"");
        escape::json(key, &mut self.json);
        if RESERVED.contains(&&self.json[start + 2..]) {
            self.json.push(b'_');
        }
        let written = &self.json[start + 2..];
        let (key_len, bit) = (written.len(), bit(written));
        self.json.extend_from_slice(b"\":");
        Begun {
            start,
            key_len,
            bit,
            denied: deny.has(key.as_bytes()),
        }
    }

    /// Keeps what was written since; an older field of this key is dead from here on, unless the `older` is to win.
    #[inline]
    pub(crate) fn finish(&mut self, begun: Begun, older_wins: bool) {
        if self.mask & begun.bit != 0 && !self.wins(begun, older_wins) {
            return;
        }
        self.keep(begun);
    }

    /// Keeps what was written since, whose key is new.
    #[inline]
    pub(crate) fn keep(&mut self, begun: Begun) {
        self.mask |= begun.bit;
        self.entries.push(Entry {
            start: begun.start as u32,
            end: self.json.len() as u32,
            key_len: begun.key_len as u32,
            alive: true,
        });
    }

    /// Whether a field stays, where an older one may have its key.
    fn wins(&mut self, begun: Begun, older_wins: bool) -> bool {
        let (key, json) = (begun.key(&self.json), &self.json);
        let twin = self
            .entries
            .iter_mut()
            .find(|entry| entry.alive && entry.key(json) == key);
        match twin {
            Some(_) if older_wins => {
                self.json.truncate(begun.start);
                return false;
            }
            Some(older) => {
                older.alive = false;
                self.has_dead = true;
            }
            None => {}
        }
        true
    }

    /// Whether a key is among the fields, and where.
    pub(crate) fn position(&self, key: &[u8], bit: u64) -> Option<usize> {
        if self.mask & bit == 0 {
            return None;
        }
        self.entries
            .iter()
            .position(|entry| entry.alive && entry.key(&self.json) == key)
    }

    /// The fields of these pairs, the last one of a key only.
    pub(crate) fn of(pairs: &[(Cow<'static, str>, Value)], deny: &DenyList) -> Self {
        let mut fields = Self::default();
        for (key, value) in pairs.iter().take(MAX_FIELDS) {
            let begun = fields.begin(key, deny);
            if begun.denied {
                text(REDACTED, &mut fields.json);
            } else {
                value_json(value, deny, &mut fields.json);
            }
            fields.finish(begun, false);
        }
        fields.compact();
        fields
    }

    /// Closes the gaps that dead fields left.
    fn compact(&mut self) {
        if !std::mem::take(&mut self.has_dead) {
            return;
        }
        let json = std::mem::take(&mut self.json);
        self.entries.retain(|entry| entry.alive);
        for entry in &mut self.entries {
            let start = self.json.len() as u32;
            self.json.extend_from_slice(entry.bytes(&json));
            (entry.start, entry.end) = (start, self.json.len() as u32);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.json.clear();
        self.entries.clear();
        self.mask = 0;
        self.has_dead = false;
    }
}

/// Whether a key needs no other name, as far as one look tells.
pub(crate) const fn is_usual(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY_BYTES && bit(key.as_bytes()) & RESERVED_BITS == 0
}

/// The bit that stands for a key in a mask.
#[inline]
pub(crate) const fn bit(key: &[u8]) -> u64 {
    let len = key.len();
    if len == 0 {
        return 1;
    }
    let mix = key[0] as u64
        | (key[len - 1] as u64) << 8
        | (key[len / 2] as u64) << 16
        | (len as u64) << 24;
    1 << (mix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

const RESERVED_BITS: u64 =
    bit(RESERVED[0]) | bit(RESERVED[1]) | bit(RESERVED[2]) | bit(RESERVED[3]);

pub(crate) fn value_json(value: &Value, deny: &DenyList, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => boolean(*value, out),
        Value::Int(value) => integer(*value, out),
        Value::UInt(value) => integer(*value, out),
        Value::Float(value) => float(*value, out),
        Value::Text(value) => {
            text(value, out);
        }
        Value::Json(json) => match serde_json::from_str::<serde_json::Value>(json.as_str()) {
            Ok(value) => {
                Nested::write(&value, deny, out);
            }
            Err(_) => {
                text(json.as_str(), out);
            }
        },
    }
}

#[inline]
pub(crate) fn boolean(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

#[inline]
pub(crate) fn integer(value: impl itoa::Integer + TryInto<u32> + Copy, out: &mut Vec<u8>) {
    let digit = |number: u32| b'0' + (number % 10) as u8;
    match value.try_into() {
        // statuses, counts and milliseconds are mostly this small
        Ok(n @ ..10) => out.push(digit(n)),
        Ok(n @ ..100) => out.extend_from_slice(&[digit(n / 10), digit(n)]),
        Ok(n @ ..1000) => out.extend_from_slice(&[digit(n / 100), digit(n / 10), digit(n)]),
        Ok(n @ ..100_000_000) => short_number(n, out),
        _ => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

/// Up to eight digits, computed side by side in the bytes of a word, so that they reach the line in one piece.
#[inline]
fn short_number(number: u32, out: &mut Vec<u8>) {
    // each step halves its parts: four digits, two, one; the leading ones are in the lowest byte
    let fours = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | (twos - 10 * tens) << 8;
    // the last digit stays, even if it is a zero
    let zeros = (digits | 1 << 56).trailing_zeros() / 8;
    let text = (digits | 0x3030_3030_3030_3030) >> (zeros * 8);
    let start = out.len();
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(start + 8 - zeros as usize);
}

/// The shortest digits that read back as the same number; `null` where there is none.
#[inline]
pub(crate) fn float(value: impl zmij::Float + Into<f64>, out: &mut Vec<u8>) {
    let wide = value.into();
    if !wide.is_finite() {
        return out.extend_from_slice(b"null");
    }
    match Thousandths::of(wide) {
        Some(short) => short.write(out),
        None => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
    }
}

/// A number with at most three decimals, as ratios and durations mostly are. These are its shortest digits: no two
/// decimals of 15 digits or fewer are the same `f64`.
struct Thousandths(u32);

impl Thousandths {
    #[inline]
    fn of(value: f64) -> Option<Self> {
        let thousandths = (value * 1000.0) as u32;
        let exact = f64::from(thousandths) / 1000.0 == value && value.is_sign_positive();
        (exact && thousandths < 100_000_000).then_some(Self(thousandths))
    }

    #[inline]
    fn write(self, out: &mut Vec<u8>) {
        let digit = |number: u32| b'0' + (number % 10) as u8;
        integer(self.0 / 1000, out);
        let part = self.0 % 1000;
        let decimals = [b'.', digit(part / 100), digit(part / 10), digit(part)];
        match (part % 10, part % 100) {
            (_, 0) => out.extend_from_slice(&decimals[..2]),
            (0, _) => out.extend_from_slice(&decimals[..3]),
            _ => out.extend_from_slice(&decimals),
        }
    }
}

/// A JSON string; true where it was too long and had to be cut.
#[inline]
pub(crate) fn text(value: &str, out: &mut Vec<u8>) -> bool {
    if value.len() > MAX_VALUE_BYTES {
        cut_text(value, value.len(), out);
        return true;
    }
    out.push(b'"');
    quoted(value, out);
    false
}

/// What stands behind the opening quote, and the closing one.
#[inline]
pub(crate) fn quoted(value: &str, out: &mut Vec<u8>) {
    if !escape::copy_short(value, out) {
        escape::json(value, out);
    }
    out.push(b'"');
}

/// A JSON string of a text's beginning, which says how many of `whole` bytes are missing.
#[cold]
pub(crate) fn cut_text(value: &str, whole: usize, out: &mut Vec<u8>) {
    let kept = escape::cut(value, MAX_VALUE_BYTES);
    out.push(b'"');
    escape::json(kept, out);
    out.extend_from_slice("…[truncated ".as_bytes());
    integer((whole - kept.len()) as u64, out);
    out.extend_from_slice(b"]\"");
}
