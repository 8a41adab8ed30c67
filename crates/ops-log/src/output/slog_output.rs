//! Lines as records for a slog drain.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use slog::{
    BorrowedKV, OwnedKV, OwnedKVList, Record, RecordLocation, RecordStatic,
    SendSyncRefUnwindSafeDrain,
};

use crate::{Level, Value};

/// Maximum number of key names, which slog keeps forever; further ones are written as `other`.
const MAX_KEYS: usize = 4096;

static KEYS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);

/// Slog drain that receives log lines.
#[derive(Clone)]
pub(crate) struct SlogOutput(
    pub(crate) Arc<dyn SendSyncRefUnwindSafeDrain<Ok = (), Err = slog::Never>>,
);

impl fmt::Debug for SlogOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drain")
    }
}

/// Rendered line, parsed again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) fields: Vec<(String, Value)>,
}

impl Parsed {
    pub(crate) fn new(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn take(&mut self, key: &str) -> String {
        let Some(at) = self.fields.iter().position(|(known, _)| known == key) else {
            return String::new();
        };
        self.fields.remove(at).1.to_string()
    }
}

impl<'de> serde::Deserialize<'de> for Parsed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> serde::de::Visitor<'de> for Pairs {
            type Value = Parsed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a line")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Parsed, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<Cow<'_, str>, Value>()? {
                    fields.push((key.into_owned(), value));
                }
                Ok(Parsed { fields })
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl slog::KV for Parsed {
    fn serialize(
        &self,
        record: &Record<'_>,
        serializer: &mut dyn slog::Serializer,
    ) -> slog::Result {
        for (key, value) in &self.fields {
            slog::Value::serialize(value, record, slog::Key::from(interned(key)), serializer)?;
        }
        Ok(())
    }
}

/// Returns the key with a static lifetime, which slog requires.
fn interned(key: &str) -> &'static str {
    let mut keys = KEYS.lock();
    if let Some(known) = keys.get(key) {
        return known;
    }
    if keys.len() >= MAX_KEYS {
        return "other";
    }
    let key: &'static str = Box::leak(key.to_owned().into_boxed_str());
    keys.insert(key);
    key
}

static LOCATION: RecordLocation = RecordLocation {
    file: "",
    line: 0,
    column: 0,
    function: "",
    module: "",
};

/// Passes a line to the drain; returns `false` if that fails.
#[cold]
pub(crate) fn log(
    drain: &dyn slog::SendSyncRefUnwindSafeDrain<Ok = (), Err = slog::Never>,
    json: &[u8],
    level: Level,
) -> bool {
    let Some(mut line) = Parsed::new(json) else {
        return false;
    };
    // the drain adds time and level itself
    line.take("timestamp");
    line.take("level");
    let event = line.take("event");
    let values = OwnedKVList::from(OwnedKV(()));
    let fixed = RecordStatic {
        location: &LOCATION,
        tag: "",
        level: level.slog(),
    };
    drain
        .log(
            &Record::new(&fixed, &format_args!("{event}"), BorrowedKV(&line)),
            &values,
        )
        .is_ok()
}
