//! Secrets within a secret that is registered as a whole: the passwords of a JSON document or of a URL.

use serde_json::Value;

use crate::redact::deny::DenyList;
use crate::redact::names::percent_decoded;
use crate::redact::url;

/// Returns the values under denied keys, and the credentials of URLs. A part that also occurs unprotected in the
/// value, such as a password equal to the user's name, is left out, because such words occur in unrelated lines.
pub(super) fn of(value: &str, deny: &DenyList) -> Vec<String> {
    let mut parts = Parts::default();
    let document = value.trim_start().starts_with(['{', '[']);
    match serde_json::from_str(value) {
        Ok(json) if document => parts.of_json(&json, false, deny),
        _ => parts.of_text(value, deny),
    }
    let Parts { mut secret, clear } = parts;
    secret.retain(|part| !clear.iter().any(|text| text.contains(part)));
    secret
}

#[derive(Default)]
struct Parts {
    secret: Vec<String>,
    clear: Vec<String>,
}

impl Parts {
    /// Collects the parts of a document. An object under a denied key is
    /// judged by its own keys, because it also has names of regions and kinds.
    fn of_json(&mut self, json: &Value, is_denied: bool, deny: &DenyList) {
        match json {
            Value::Object(entries) => entries.iter().for_each(|(key, value)| {
                self.of_json(value, deny.has(key.as_bytes()), deny);
                self.clear.push(key.clone());
            }),
            Value::Array(values) => {
                values
                    .iter()
                    .for_each(|value| self.of_json(value, is_denied, deny));
            }
            Value::String(text) if is_denied => {
                self.secret.push(text.clone());
                // no part of a denied value counts as unprotected
                let mut within = Self::default();
                within.of_text(text, deny);
                self.secret.append(&mut within.secret);
            }
            Value::String(text) => self.of_text(text, deny),
            Value::Number(number) if is_denied => self.secret.push(number.to_string()),
            _ => {}
        }
    }

    fn of_text(&mut self, text: &str, deny: &DenyList) {
        let mut clear_from = 0;
        for place in url::credentials(text, deny) {
            self.clear.push(text[clear_from..place.start].to_owned());
            clear_from = place.end;
            let encoded = &text[place];
            let decoded = percent_decoded(encoded);
            // connection strings do not decode it, and a value that does not decode to text occurs encoded as here
            if decoded != encoded {
                self.secret.push(encoded.to_owned());
            }
            if !decoded.contains(char::REPLACEMENT_CHARACTER) {
                self.secret.push(decoded.into_owned());
            }
        }
        self.clear.push(text[clear_from..].to_owned());
    }
}
