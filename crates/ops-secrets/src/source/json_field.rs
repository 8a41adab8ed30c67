//! One field of a JSON text: `#login.password`.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::source::SourceValue;
use serde_json::value::RawValue;

/// JSON object borrowed from the text, so that no copy of a neighboring value remains in memory.
type Object<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// Returns the field at a dotted path, or the whole text. A key
/// that contains a dot is looked up under its whole name first.
pub(crate) fn json_field(
    value: &SourceValue,
    field: Option<&str>,
) -> Result<SourceValue, &'static str> {
    let Some(field) = field else {
        return Ok(value.clone());
    };
    let json: &RawValue =
        serde_json::from_str(value.text().ok_or("the value is binary, not JSON")?)
            .map_err(|_| "the value is not JSON")?;
    let found = step(json, field).or_else(|| {
        let mut keys = field.split('.');
        keys.try_fold(json, step)
    });
    scalar(found.ok_or("the JSON has no such field")?.get())
}

fn step<'a>(at: &'a RawValue, key: &str) -> Option<&'a RawValue> {
    let object: Object<'a> = serde_json::from_str(at.get()).ok()?;
    object.get(key).copied()
}

/// Reads a scalar; numbers and booleans are taken as written.
fn scalar(json: &str) -> Result<SourceValue, &'static str> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(json)
            .map(SourceValue::new)
            .map_err(|_| "the JSON field is not a valid string"),
        Some(b't' | b'f' | b'-' | b'0'..=b'9') => Ok(SourceValue::new(json)),
        _ => Err("the JSON field is not a string, number or boolean"),
    }
}
