use parking_lot::RwLock;

use crate::value::json_text;

/// Shorter values are not scrubbed: that would cut into ordinary text.
pub const MIN_REDACTED_BYTES: usize = 8;

/// What stands in a value's place.
pub const REDACTED: &str = "[REDACTED]";

static VALUES: RwLock<Vec<[String; 2]>> = RwLock::new(Vec::new());

/// Scrubs this value from every line from here on, as it is and as JSON escapes it.
pub fn redact(value: &str) {
    if value.len() < MIN_REDACTED_BYTES {
        return;
    }
    let forms = forms(value);
    let mut values = VALUES.write();
    if !values.contains(&forms) {
        values.push(forms);
    }
}

/// Lets this value through again.
pub fn unredact(value: &str) {
    let forms = forms(value);
    VALUES.write().retain(|known| *known != forms);
}

/// The text without registered values; `None` where there is none in it.
pub fn redacted(text: &str) -> Option<String> {
    let values = VALUES.read();
    let mut found = values
        .iter()
        .flatten()
        .filter(|value| text.contains(value.as_str()))
        .peekable();
    found.peek()?;
    let mut scrubbed = text.to_owned();
    for value in found {
        scrubbed = scrubbed.replace(value.as_str(), REDACTED);
    }
    Some(scrubbed)
}

fn forms(value: &str) -> [String; 2] {
    let mut escaped = String::new();
    json_text(value, &mut escaped);
    // the quotes that json_text puts around it, and no quote of the value's own
    let inner = escaped[1..escaped.len() - 1].to_owned();
    [value.to_owned(), inner]
}
