//! Secrets within a secret: the passwords of a JSON document or of a URL, which is registered as a whole.

use serde_json::Value;

use crate::redact::deny::DenyList;
use crate::redact::url;

/// Returns the values under denied keys, and the credentials of URLs.
pub(super) fn of(value: &str, deny: &DenyList) -> Vec<String> {
    let mut found = Vec::new();
    let document = value.trim_start().starts_with(['{', '[']);
    match serde_json::from_str(value) {
        Ok(json) if document => of_json(&json, false, deny, &mut found),
        _ => of_text(value, deny, &mut found),
    }
    found
}

fn of_json(json: &Value, is_denied: bool, deny: &DenyList, found: &mut Vec<String>) {
    match json {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            of_json(value, is_denied || deny.has(key.as_bytes()), deny, found);
        }),
        Value::Array(values) => {
            values
                .iter()
                .for_each(|value| of_json(value, is_denied, deny, found));
        }
        Value::String(text) => {
            if is_denied {
                found.push(text.clone());
            }
            of_text(text, deny, found);
        }
        Value::Number(number) if is_denied => found.push(number.to_string()),
        _ => {}
    }
}

fn of_text(text: &str, deny: &DenyList, found: &mut Vec<String>) {
    for place in url::credentials(text, deny) {
        let encoded = &text[place];
        let decoded = url::percent_decoded(encoded);
        // one that is no text is found as it is encoded here
        let is_text = !decoded.contains(char::REPLACEMENT_CHARACTER);
        found.push(if is_text {
            decoded.into_owned()
        } else {
            encoded.to_owned()
        });
    }
}
