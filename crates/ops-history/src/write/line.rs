use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::table::REQUEST;

/// A JSON line split into the fields that have a column and the rest.
#[derive(Default)]
pub(super) struct Line<'a> {
    pub(super) level: Option<Cow<'a, str>>,
    pub(super) event: Option<Cow<'a, str>>,
    pub(super) logger: Option<Cow<'a, str>>,
    pub(super) trace_id: Option<[u8; 16]>,
    pub(super) span_id: Option<[u8; 8]>,
    pub(super) request_id: Option<Cow<'a, str>>,
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) path: Option<Cow<'a, str>>,
    pub(super) route: Option<Cow<'a, str>>,
    pub(super) status: Option<i64>,
    pub(super) duration_us: Option<i64>,
    pub(super) error_type: Option<Cow<'a, str>>,
    /// Other fields as a JSON object; values that not every JSON reader accepts are stored as text. `None` without any.
    pub(super) rest: Option<String>,
}

/// Returns the OpenTelemetry severity number of a level.
pub(super) fn severity(level: &str) -> Option<i64> {
    Some(match level {
        "trace" => 1,
        "debug" => 5,
        "info" => 9,
        "warning" => 13,
        "error" => 17,
        "critical" => 21,
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Fields in order.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some((Text(key), value)) = map.next_entry()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'a> Line<'a> {
    /// Parses a line; `None` if it is not a single JSON object.
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        // validated once as a whole rather than per text
        let json = std::str::from_utf8(json).ok()?;
        let Fields(fields) = serde_json::from_str(json).ok()?;
        let mut line = Self::default();
        let event = fields.iter().find(|(key, _)| key == "event");
        let is_request = event.and_then(|(_, value)| text(value)).as_deref() == Some(REQUEST);
        let mut rest = String::new();
        for (key, value) in fields {
            if key == "timestamp" || line.put(&key, value, is_request) {
                continue;
            }
            rest.push(if rest.is_empty() { '{' } else { ',' });
            rest.push_str(&serde_json::to_string(&*key).ok()?);
            rest.push(':');
            match has_no_unpaired_surrogate(value.get()) {
                true => rest.push_str(value.get()),
                false => rest.push_str(&serde_json::to_string(value.get()).ok()?),
            }
        }
        if !rest.is_empty() {
            rest.push('}');
            line.rest = Some(rest);
        }
        Some(line)
    }

    /// Stores a field in its column; returns `false` if there is none, it is filled already, or the type differs.
    fn put(&mut self, key: &str, value: &'a RawValue, is_request: bool) -> bool {
        let slot = match key {
            "level" => &mut self.level,
            "event" => &mut self.event,
            "logger" => &mut self.logger,
            "request_id" => &mut self.request_id,
            "error_type" => &mut self.error_type,
            "method" if is_request => &mut self.method,
            "path" if is_request => &mut self.path,
            "route" if is_request => &mut self.route,
            "trace_id" => return fill(&mut self.trace_id, bytes(value)),
            "span_id" => return fill(&mut self.span_id, bytes(value)),
            "status" if is_request => return fill(&mut self.status, integer(value)),
            "latency_ms" if is_request => {
                let micros = integer(value).and_then(|ms| ms.checked_mul(1000));
                return fill(&mut self.duration_us, micros);
            }
            _ => return false,
        };
        fill(slot, text(value))
    }
}

/// Returns `false` for JSON with an unpaired surrogate such as `"\ud83d"`, for which some readers reject the whole
/// object.
fn has_no_unpaired_surrogate(json: &str) -> bool {
    let mut rest = json;
    while let Some((_, escape)) = rest.split_once('\\') {
        // valid JSON: a backslash is followed by one character, or by `u` and four digits
        rest = escape.get(1..).unwrap_or_default();
        let Some(first @ 0xd800..=0xdfff) = code(escape) else {
            continue;
        };
        let second = rest.get(4..).and_then(|rest| rest.strip_prefix('\\'));
        if first > 0xdbff || !matches!(second.and_then(code), Some(0xdc00..=0xdfff)) {
            return false;
        }
        // skip the `u` of the second surrogate
        rest = second.and_then(|half| half.get(1..)).unwrap_or_default();
    }
    true
}

/// Returns the code of an escape that starts after its backslash.
fn code(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix('u')?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

fn fill<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let is_free = slot.is_none() && value.is_some();
    if is_free {
        *slot = value;
    }
    is_free
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = value.get().strip_prefix('"')?;
    // valid JSON: without escapes the text is what the quotes enclose
    if !quoted.contains('\\') {
        return quoted.strip_suffix('"').map(Cow::Borrowed);
    }
    let Text(text) = serde_json::from_str(value.get()).ok()?;
    Some(text)
}

fn integer(value: &RawValue) -> Option<i64> {
    serde_json::from_str(value.get()).ok()
}

/// Parses an id in lower-case hexadecimal digits.
fn bytes<const N: usize>(value: &RawValue) -> Option<[u8; N]> {
    let text = text(value)?;
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut id = [0; N];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(id)
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}
