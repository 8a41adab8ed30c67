//! Values that must not be in any line.

pub(crate) mod deny;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use aho_corasick::{AhoCorasick, MatchKind};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::escape;

/// Shorter values are not scrubbed: that would cut into ordinary text.
pub const MIN_REDACTED_BYTES: usize = 8;

/// What stands in a value's place.
pub const REDACTED: &str = "[REDACTED]";

static ACTIVE: AtomicBool = AtomicBool::new(false);
static SCRUBBER: ArcSwapOption<Scrubber> = ArcSwapOption::const_empty();
static VALUES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Finds all values at once, as they are and as JSON escapes them.
struct Scrubber {
    forms: Vec<Vec<u8>>,
    finder: AhoCorasick,
}

/// Scrubs this value from every line from here on, as it is and as JSON escapes it. One that is shorter than
/// [`MIN_REDACTED_BYTES`] is not: that would cut ordinary words.
pub fn redact(value: &str) {
    let mut values = VALUES.lock();
    if value.len() >= MIN_REDACTED_BYTES && !values.iter().any(|known| known == value) {
        values.push(value.to_owned());
        rebuild(&values);
    }
}

/// Stops scrubbing this value.
pub fn unredact(value: &str) {
    let mut values = VALUES.lock();
    let before = values.len();
    values.retain(|known| known != value);
    if values.len() < before {
        rebuild(&values);
    }
}

/// The text without registered values; `None` where there is none in it.
pub fn redacted(text: &str) -> Option<String> {
    if !is_active() {
        return None;
    }
    let mut bytes = text.as_bytes().to_vec();
    scrub_text(&mut bytes, &mut Vec::new()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn rebuild(values: &[String]) {
    let mut forms: Vec<Vec<u8>> = values.iter().flat_map(|value| forms(value)).collect();
    // the longest first: it wins where two begin at the same place
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();
    let finder = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(&forms);
    // too many values for one automaton: nothing known builds that many, and the old ones stay scrubbed
    if let Ok(finder) = finder {
        let scrubber = (!forms.is_empty()).then(|| Arc::new(Scrubber { forms, finder }));
        SCRUBBER.store(scrubber);
        ACTIVE.store(!values.is_empty(), Relaxed);
    }
}

fn forms(value: &str) -> [Vec<u8>; 2] {
    let mut escaped = Vec::new();
    escape::json(value, &mut escaped);
    [value.as_bytes().to_vec(), escaped]
}

/// Whether any value is registered.
#[inline]
pub(crate) fn is_active() -> bool {
    ACTIVE.load(Relaxed)
}

/// Scrubs text that has no structure; true where something was found.
pub(crate) fn scrub_text(text: &mut Vec<u8>, spare: &mut Vec<u8>) -> bool {
    let scrubber = SCRUBBER.load();
    let Some(scrubber) = scrubber.as_ref() else {
        return false;
    };
    spare.clear();
    let mut copied = 0;
    for found in scrubber.finder.find_iter(&*text) {
        spare.extend_from_slice(&text[copied..found.start()]);
        spare.extend_from_slice(REDACTED.as_bytes());
        copied = found.end();
    }
    if copied == 0 {
        return false;
    }
    spare.extend_from_slice(&text[copied..]);
    std::mem::swap(text, spare);
    true
}

/// Scrubs the strings and numbers of a JSON line; what is scrubbed is JSON again.
pub(crate) fn scrub_json(json: &mut Vec<u8>, spare: &mut Vec<u8>) {
    let scrubber = SCRUBBER.load();
    let Some(scrubber) = scrubber.as_ref() else {
        return;
    };
    if !scrubber.finder.is_match(&*json) {
        return;
    }
    spare.clear();
    let mut rest = &json[..];
    while let [first, ..] = rest {
        let (token, after) = rest.split_at(token_len(rest));
        match first {
            b'"' => scrubber.scrub_string(token, spare),
            b'-' | b'0'..=b'9' if scrubber.finder.is_match(token) => {
                spare.push(b'"');
                spare.extend_from_slice(REDACTED.as_bytes());
                spare.push(b'"');
            }
            _ => spare.extend_from_slice(token),
        }
        rest = after;
    }
    std::mem::swap(json, spare);
}

/// How long the token is that JSON text begins with: a string, a number, or one byte.
fn token_len(json: &[u8]) -> usize {
    match json {
        [b'"', inner @ ..] => {
            let mut at = 0;
            while at < inner.len() && inner[at] != b'"' {
                at += unit_len(&inner[at..]);
            }
            (at + 2).min(json.len())
        }
        [b'-' | b'0'..=b'9', ..] => {
            let number =
                |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
            json.iter().take_while(number).count()
        }
        _ => 1,
    }
}

/// How long an escape is, or one byte.
fn unit_len(string: &[u8]) -> usize {
    let len = match string {
        [b'\\', b'u', ..] => 6,
        [b'\\', ..] => 2,
        _ => 1,
    };
    len.min(string.len())
}

impl Scrubber {
    /// Replaces values in a JSON string. What begins in the middle of an escape is none.
    fn scrub_string(&self, token: &[u8], out: &mut Vec<u8>) {
        if !self.finder.is_match(token) {
            return out.extend_from_slice(token);
        }
        let mut at = 0;
        while at < token.len() {
            let found = self.forms.iter().find(|form| {
                token[at..].starts_with(form) && at > 0 && at + form.len() < token.len()
            });
            if let Some(form) = found {
                out.extend_from_slice(REDACTED.as_bytes());
                at += form.len();
            } else {
                let len = unit_len(&token[at..]);
                out.extend_from_slice(&token[at..at + len]);
                at += len;
            }
        }
    }
}
