//! `#login.password`: one member of a JSON text.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Borrowed from the text, so that no copy of a neighbouring value is left behind in memory.
type Object<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// The member that a dotted path names, or the whole text. A key with a dot in it is found under its whole name first.
pub(crate) fn select(text: &str, member: Option<&str>) -> Result<Zeroizing<String>, &'static str> {
    let Some(member) = member else {
        return Ok(Zeroizing::new(text.to_owned()));
    };
    let json: &RawValue = serde_json::from_str(text).map_err(|_| "the value is not JSON")?;
    let found = step(json, member).or_else(|| {
        let mut keys = member.split('.');
        keys.try_fold(json, step)
    });
    scalar(found.ok_or("the JSON has no such member")?.get())
}

fn step<'a>(at: &'a RawValue, key: &str) -> Option<&'a RawValue> {
    let object: Object<'a> = serde_json::from_str(at.get()).ok()?;
    object.get(key).copied()
}

/// Numbers and truth values are taken as they are written.
fn scalar(json: &str) -> Result<Zeroizing<String>, &'static str> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json)
            .map(Zeroizing::new)
            .map_err(|_| "the JSON member is not text"),
        Some(b't' | b'f' | b'-' | b'0'..=b'9') => Ok(Zeroizing::new(json.to_owned())),
        _ => Err("the JSON member is not a scalar"),
    }
}
