//! Redaction of lines and texts.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use memchr::memmem::{self, Finder};

use crate::escape;
use crate::redact::deny::DenyList;
use crate::redact::pattern::Patterns;
use crate::redact::{REDACTED, is_active, labels, markup, notations, patterns, url, words};

/// Keys of the parts of a line, which are never redacted.
const OWN_KEYS: [&[u8]; 4] = [b"\"timestamp\"", b"\"level\"", b"\"logger\"", b"\"event\""];
/// Number of these keys whose values are not redacted either.
const OWN_VALUES: usize = 2;

/// Redaction of one line, in all of its forms.
pub(crate) struct Scrub<'a> {
    patterns: Option<Arc<Patterns>>,
    deny: &'a DenyList,
}

impl<'a> Scrub<'a> {
    /// Returns `true` if a line must be checked; its renderer knows if it [`has_url`].
    #[inline]
    pub(crate) fn may_be_needed(has_url: bool) -> bool {
        has_url || is_active()
    }

    /// Decides from the JSON form if there is anything to redact.
    pub(crate) fn needed(json: &[u8], has_url: bool, deny: &'a DenyList) -> Option<Self> {
        let patterns = patterns().filter(|patterns| patterns.may_match(json));
        (patterns.is_some() || has_url).then_some(Self { patterns, deny })
    }

    /// Redacts the strings and numbers of a JSON line; the result is valid JSON.
    #[cold]
    pub(crate) fn json(&self, json: &mut Vec<u8>, spare: &mut Vec<u8>) {
        spare.clear();
        let mut rest = &json[..];
        // for each open container, `true` for an object and `false` for a list
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
                            // keys that differed only in the redacted part
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

    /// Redacts unstructured text from `from` on.
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

    /// Writes a string token without values; returns `true` if it had some.
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

    /// Returns the ranges of values, from left to right; overlapping and adjacent ones are merged.
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

/// Returns `true` if a text may need redaction. One check, which is `false` for most texts.
pub(crate) fn may_be_needed_in(text: &str) -> bool {
    let may_match = |patterns: Arc<Patterns>| patterns.may_match(text.as_bytes());
    let has_option = || text.len() > escape::MAX_SHORT_BYTES && labels::has_option(text.as_bytes());
    !escape::is_simple(text.as_bytes()) || has_option() || patterns().is_some_and(may_match)
}

/// Redacts a separate text; `None` if there is nothing to redact.
pub(crate) fn text(text: &str, deny: &DenyList) -> Option<String> {
    let patterns = patterns();
    Scrub { patterns, deny }.scrubbed(text)
}

fn replaced(text: &str, places: &[Range<usize>]) -> String {
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    for place in places {
        // a match starts and ends with whole characters, or with ASCII
        out.push_str(text.get(copied..place.start).unwrap_or_default());
        out.push_str(REDACTED);
        copied = place.end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

/// Returns `true` if the text may contain a URL, a query, a connection string or another known place of a credential.
pub(crate) fn has_url(text: &[u8]) -> bool {
    static SCHEME_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("://"));
    // most texts are simple, and only an option has none of the other marks
    if escape::is_simple(text) {
        return labels::has_option(text);
    }
    SCHEME_END.find(text).is_some()
        || memchr::memchr3(b'?', b'#', b';', text)
            .is_some_and(|at| text[at] != b';' || has_query_or_pair(text))
        || memchr::memchr2(b'\\', b'\n', text)
            .is_some_and(|at| has_escaped_url(text, at) || labels::has_line(text))
        || memchr::memchr2(b'=', b'<', text).is_some_and(|at| has_pair_or_tag(text, at))
        || memchr::memchr(b'-', text)
            .is_some_and(|_| labels::has_option(text) || labels::has_header(text))
        || notations::may_be_in(text)
}

/// Returns `true` for text with a password of a list or a tag; `first` is the first `=` or `<`.
fn has_pair_or_tag(text: &[u8], first: usize) -> bool {
    words::has_password(text) || markup::may_be_in(text, first)
}

/// Returns `true` if the text has `:\/` or the number of a URL
/// character, as in JSON within text; no backslash is before `first`.
#[cold]
fn has_escaped_url(text: &[u8], first: usize) -> bool {
    let escapes = &text[first..];
    let has_number = memmem::find_iter(escapes, b"\\u00").any(|at| {
        // codes of `#` and `/`, and of `:`, `;` and `?`
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

/// Returns `true` for text with a `;` that may have a query, a fragment, or a pair, as in
/// `GET /cart;jsessionid=ID` and in connection strings. User agents of browsers have none of these.
#[cold]
fn has_query_or_pair(text: &[u8]) -> bool {
    memchr::memchr3(b'?', b'#', b'=', text).is_some()
}

/// Returns the length of the first token of JSON text: a string, a number, or one byte.
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
