//! Lines and texts without what nobody may read.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use memchr::memmem::{self, Finder};

use crate::escape;
use crate::redact::deny::DenyList;
use crate::redact::pattern::Patterns;
use crate::redact::{REDACTED, is_active, patterns, url, words};

/// Keys of the line itself, whose names stay.
const OWN_KEYS: [&[u8]; 4] = [b"\"timestamp\"", b"\"level\"", b"\"logger\"", b"\"event\""];
/// Those of them whose values stay too.
const OWN_VALUES: usize = 2;

/// One pass over all forms of a line.
pub(crate) struct Scrub<'a> {
    patterns: Option<Arc<Patterns>>,
    deny: &'a DenyList,
}

impl<'a> Scrub<'a> {
    /// Reports whether a line has to be looked at; who rendered it knows if it [`has_url`].
    #[inline]
    pub(crate) fn may_be_needed(has_url: bool) -> bool {
        has_url || is_active()
    }

    /// Decides by the JSON form if there is anything to do.
    pub(crate) fn needed(json: &[u8], has_url: bool, deny: &'a DenyList) -> Option<Self> {
        let patterns = patterns().filter(|patterns| patterns.may_match(json));
        (patterns.is_some() || has_url).then_some(Self { patterns, deny })
    }

    /// Scrubs the strings and numbers of a JSON line; the result is JSON again.
    #[cold]
    pub(crate) fn json(&self, json: &mut Vec<u8>, spare: &mut Vec<u8>) {
        spare.clear();
        let mut rest = &json[..];
        // for each container that is open: an object, or a list
        let mut objects = Vec::new();
        let (mut is_key, mut own_value, mut changed_keys) = (false, false, 0_u32);
        while let [first, ..] = rest {
            let (token, after) = rest.split_at(token_len(rest));
            match first {
                b'"' if is_key && objects.len() == 1 && OWN_KEYS.contains(&token) => {
                    own_value = OWN_KEYS[..OWN_VALUES].contains(&token);
                    spare.extend_from_slice(token);
                }
                b'"' if own_value => spare.extend_from_slice(token),
                b'"' => {
                    let changed = self.string(token, spare);
                    if changed && is_key {
                        changed_keys += 1;
                        if changed_keys > 1 {
                            // keys that only differed in what is gone now
                            spare.pop();
                            spare.extend_from_slice(format!("_{changed_keys}\"").as_bytes());
                        }
                    }
                }
                b'-' | b'0'..=b'9' if !self.found(token).is_empty() => {
                    spare.extend_from_slice(format!("\"{REDACTED}\"").as_bytes());
                }
                _ => spare.extend_from_slice(token),
            }
            match first {
                b'{' | b'[' => objects.push(*first == b'{'),
                b'}' | b']' => drop(objects.pop()),
                b',' => own_value = false,
                _ => {}
            }
            is_key = matches!(first, b'{' | b',') && objects.last() == Some(&true);
            rest = after;
        }
        std::mem::swap(json, spare);
    }

    /// Scrubs text without structure, from here on.
    #[cold]
    pub(crate) fn text(&self, text: &mut Vec<u8>, from: usize) {
        let from = from.min(text.len());
        let Ok(tail) = std::str::from_utf8(&text[from..]) else {
            return;
        };
        if let Some(scrubbed) = self.scrubbed(tail) {
            text.truncate(from);
            text.extend_from_slice(scrubbed.as_bytes());
        }
    }

    /// A string token without values; true if it had some.
    fn string(&self, token: &[u8], out: &mut Vec<u8>) -> bool {
        let scrubbed = Some(token)
            .filter(|token| self.may_match(token) || has_url(token))
            .and_then(|token| serde_json::from_slice::<Cow<'_, str>>(token).ok())
            .and_then(|text| self.scrubbed(&text));
        let Some(scrubbed) = scrubbed else {
            out.extend_from_slice(token);
            return false;
        };
        out.push(b'"');
        escape::json(&scrubbed, out);
        out.push(b'"');
        true
    }

    fn may_match(&self, text: &[u8]) -> bool {
        let patterns = self.patterns.as_ref();
        patterns.is_some_and(|patterns| patterns.may_match(text))
    }

    fn scrubbed(&self, text: &str) -> Option<String> {
        let found = self.found(text.as_bytes());
        let without_values = (!found.is_empty()).then(|| replaced(text, &found));
        let known = without_values.as_deref().unwrap_or(text);
        let credentials = url::credentials(known, self.deny);
        if credentials.is_empty() {
            return without_values;
        }
        Some(replaced(known, &credentials))
    }

    /// Finds the places of values, from left to right; those that overlap or touch are one.
    fn found(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if let Some(patterns) = &self.patterns {
            patterns.find(text, &mut found);
        }
        found.sort_by_key(|range| (range.start, range.end));
        found.dedup_by(|next, before| {
            let joined = next.start <= before.end;
            if joined {
                before.end = before.end.max(next.end);
            }
            joined
        });
        found
    }
}

/// Reports whether a text may have anything to scrub, by one look: most have not.
pub(crate) fn may_be_needed_in(text: &str) -> bool {
    let may_match = |patterns: Arc<Patterns>| patterns.may_match(text.as_bytes());
    !escape::is_simple(text) || patterns().is_some_and(may_match)
}

/// Scrubs a text of its own; `None` if there is nothing to scrub.
pub(crate) fn text(text: &str, deny: &DenyList) -> Option<String> {
    let patterns = patterns();
    Scrub { patterns, deny }.scrubbed(text)
}

fn replaced(text: &str, places: &[Range<usize>]) -> String {
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    for place in places {
        // a match begins and ends with whole characters, or with ASCII
        out.push_str(text.get(copied..place.start).unwrap_or_default());
        out.push_str(REDACTED);
        copied = place.end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

/// Reports whether there may be a URL, a query or a connection string in the text.
pub(crate) fn has_url(text: &[u8]) -> bool {
    static SCHEME_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("://"));
    SCHEME_END.find(text).is_some()
        || memchr::memchr3(b'?', b'#', b';', text)
            .is_some_and(|at| text[at] != b';' || has_query_or_pair(text))
        || memchr::memchr(b'\\', text).is_some_and(|at| has_escaped_url(text, at))
        || words::has_password(text)
}

/// Reports whether there is a `:\/` or the number of a mark of URLs, as JSON that is text here may have them; the first backslash is
/// known.
#[cold]
fn has_escaped_url(text: &[u8], first: usize) -> bool {
    let escapes = &text[first..];
    let has_number = memmem::find_iter(escapes, b"\\u00").any(|at| {
        // `#` and `/`, and `:`, `;` and `?`
        matches!(escapes.get(at + 4), Some(b'2' | b'3'))
    });
    if has_number {
        return true;
    }
    let mut rest = &text[first.saturating_sub(1)..];
    while let Some(colon) = memchr::memchr(b':', rest) {
        rest = &rest[colon + 1..];
        let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
        if slashes > 0 && rest.get(slashes) == Some(&b'/') {
            return true;
        }
    }
    false
}

/// The same for text with a `;`: a query, a fragment, or a pair, as in `GET /cart;jsessionid=ID` and in connection strings; the names
/// of browsers have none of these.
#[cold]
fn has_query_or_pair(text: &[u8]) -> bool {
    memchr::memchr3(b'?', b'#', b'=', text).is_some()
}

/// The length of the token that JSON text begins with: a string, a number, or one byte.
pub(crate) fn token_len(json: &[u8]) -> usize {
    match json {
        [b'"', inner @ ..] => {
            let mut at = 0;
            while at < inner.len() && inner[at] != b'"' {
                at += if inner[at] == b'\\' { 2 } else { 1 };
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
