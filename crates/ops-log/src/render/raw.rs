//! JSON text as a value.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Objects and lists within each other, at most.
const MAX_DEPTH: u8 = 127;

/// JSON that somebody else wrote: read once more, so that nothing of its text is taken over as it is.
pub(crate) struct Raw<'a> {
    text: &'a str,
    depth: u8,
}

impl<'a> Raw<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text: text.trim_ascii(),
            depth: MAX_DEPTH,
        }
    }

    fn within(&self, value: &'a RawValue) -> Self {
        Self {
            text: value.get().trim_ascii(),
            depth: self.depth - 1,
        }
    }
}

/// Reports whether this is a number, `true`, `false` or `null`, which are copied.
pub(crate) fn is_scalar(text: &str) -> bool {
    let is_number = |text: &str| {
        text.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            && serde_json::from_str::<f64>(text).is_ok()
    };
    matches!(text, "true" | "false" | "null") || is_number(text)
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
            _ => Err(S::Error::custom("not JSON")),
        }
    }
}

fn read<'a, T: Deserialize<'a>, E: Error>(text: &'a str) -> Result<T, E> {
    serde_json::from_str(text).map_err(E::custom)
}

/// The entries of an object in their order, also those of one key.
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
