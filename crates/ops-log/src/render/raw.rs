//! JSON text as a value.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Maximum depth of objects and lists.
const MAX_DEPTH: u8 = 127;

/// JSON from another source: parsed and written again, so that none of its text is copied unchecked.
pub(crate) struct Raw<'a> {
    text: &'a str,
    depth: u8,
    /// Set if a number out of range is an error, instead of being written as text.
    is_shown: bool,
}

impl<'a> Raw<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text: text.trim_ascii(),
            depth: MAX_DEPTH,
            is_shown: false,
        }
    }

    /// Returns a value for display: a number out of range is an error, because it must not look like text.
    pub(crate) fn to_show(text: &'a str) -> Self {
        Self {
            is_shown: true,
            ..Self::new(text)
        }
    }

    fn within(&self, value: &'a RawValue) -> Self {
        Self {
            text: value.get().trim_ascii(),
            depth: self.depth - 1,
            is_shown: self.is_shown,
        }
    }
}

/// Returns `true` for a number that readers accept, `true`, `false` or `null`; these are copied.
pub(crate) fn is_scalar(text: &str) -> bool {
    matches!(text, "true" | "false" | "null")
        || (has_bytes_of_numbers(text) && serde_json::from_str::<f64>(text).is_ok())
}

/// Returns `true` for a number out of range for all types, such as
/// `1e400`: readers would refuse the whole line, so it is written as text.
pub(crate) fn is_number_beyond(text: &str) -> bool {
    has_bytes_of_numbers(text)
        && serde_json::from_str::<f64>(text).is_err()
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn has_bytes_of_numbers(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.depth == 0 {
            return Err(S::Error::custom("JSON is nested too deeply"));
        }
        match self.text.as_bytes().first() {
            Some(b'{') => {
                let Entries(entries) = read(self.text)?;
                let entries = entries.iter();
                serializer.collect_map(entries.map(|(key, value)| (key, self.within(value))))
            }
            Some(b'[') => {
                let values: Vec<&RawValue> = read(self.text)?;
                serializer.collect_seq(values.iter().map(|value| self.within(value)))
            }
            Some(b'"') => serializer.serialize_str(&read::<String, _>(self.text)?),
            _ if is_scalar(self.text) => read::<&RawValue, _>(self.text)?.serialize(serializer),
            _ if is_number_beyond(self.text) && !self.is_shown => {
                serializer.serialize_str(self.text)
            }
            _ => Err(S::Error::custom("not JSON")),
        }
    }
}

fn read<'a, T: Deserialize<'a>, E: Error>(text: &'a str) -> Result<T, E> {
    serde_json::from_str(text).map_err(E::custom)
}

/// Entries of an object in their order, including duplicate keys.
pub(crate) struct Entries<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'a> Deserialize<'a> for Entries<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'a> Visitor<'a> for All {
            type Value = Entries<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Entries<'a>, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(All)
    }
}
