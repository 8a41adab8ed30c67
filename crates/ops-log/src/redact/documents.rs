//! JSON that is text, such as the body of a request: `{"user":"ada","password":"x"}`.

use std::borrow::Cow;

use crate::escape;
use crate::redact::REDACTED;
use crate::redact::deny::DenyList;
use crate::redact::scrub::{self, token_len};

/// Length of the escape of one sign, in bytes: `\ud83d\ude00`.
const LONGEST_ESCAPE: usize = 12;

/// Reports whether a text begins as a JSON document does.
#[inline]
pub(crate) fn is_one(text: &[u8]) -> bool {
    match text.first() {
        Some(b'{' | b'[') => true,
        Some(b' ' | b'\t' | b'\r' | b'\n') => {
            matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
        }
        _ => false,
    }
}

/// Reports whether there is such a text among the strings of this JSON: nothing else follows a quote so.
pub(crate) fn is_within(json: &[u8]) -> bool {
    let has = |beginning: &[u8]| memchr::memmem::find(json, beginning).is_some();
    has(b"\"{") || has(b"\"[")
}

/// The text of a field without registered values, credentials in URLs and, if it is a document or the beginning of one, values under
/// denied keys; `None` if it has none. Texts in it that are documents are read too.
#[cold]
pub(crate) fn hidden(text: &str, deny: &DenyList) -> Option<String> {
    // one that is registered as a whole is hidden as a whole
    let scrubbed = scrub::text(text, deny);
    let known = scrubbed.as_deref().unwrap_or(text);
    if !is_one(known.as_bytes()) {
        return scrubbed;
    }
    rewritten(known, Some(deny), deny).or(scrubbed)
}

/// The same for JSON in which values under denied keys are hidden already: only its texts are read.
#[cold]
pub(crate) fn hidden_within(json: &str, deny: &DenyList) -> Option<String> {
    rewritten(json, None, deny)
}

fn rewritten(text: &str, keys: Option<&DenyList>, deny: &DenyList) -> Option<String> {
    let json = text.as_bytes();
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while at < json.len() {
        let end = at + token_len(&json[at..]);
        let token = &json[at..end];
        let replaced = match token[0] {
            b'"' => match value_behind(json, end) {
                Some(value) => keys
                    .filter(|deny| is_denied(token, deny))
                    .and_then(|_| hidden_to(json, value))
                    .map(|end| (value, end, format!("\"{REDACTED}\""))),
                None => within(token, end == json.len(), deny).map(|inner| (at, end, inner)),
            },
            _ => None,
        };
        at = match replaced {
            None => end,
            Some((from, to, with)) => {
                out.push_str(text.get(copied..from).unwrap_or_default());
                out.push_str(&with);
                copied = to;
                to
            }
        };
    }
    (copied > 0).then(|| out + text.get(copied..).unwrap_or_default())
}

fn is_denied(key: &[u8], deny: &DenyList) -> bool {
    let key: Result<Cow<'_, str>, _> = serde_json::from_slice(key);
    key.is_ok_and(|key| deny.has(key.as_bytes()))
}

/// A text that is a document, or the beginning of one that was cut, without what is denied, in its quotes.
fn within(token: &[u8], may_be_cut: bool, deny: &DenyList) -> Option<String> {
    if !is_one(&token[1..]) {
        return None;
    }
    let text: Cow<'_, str> = match serde_json::from_slice(token) {
        Ok(text) => text,
        Err(_) if may_be_cut => Cow::Owned(cut_text(token)?),
        Err(_) => return None,
    };
    let mut quoted = b"\"".to_vec();
    escape::json(&hidden(&text, deny)?, &mut quoted);
    quoted.push(b'"');
    String::from_utf8(quoted).ok()
}

/// The text of a string that was cut, maybe within the escape of a sign.
fn cut_text(token: &[u8]) -> Option<String> {
    (0..=LONGEST_ESCAPE).find_map(|missing| {
        let kept = token.get(..token.len().checked_sub(missing)?)?;
        serde_json::from_slice(&[kept, b"\""].concat()).ok()
    })
}

/// The place of the value behind a key that ends here; `None` if it is none.
fn value_behind(json: &[u8], end: usize) -> Option<usize> {
    let colon = end + blanks(json, end);
    if json.get(colon) != Some(&b':') {
        return None;
    }
    Some(colon + 1 + blanks(json, colon + 1))
}

fn blanks(json: &[u8], from: usize) -> usize {
    let rest = json.get(from..).unwrap_or_default();
    rest.iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// The end of the value that begins here, if it says anything.
fn hidden_to(json: &[u8], from: usize) -> Option<usize> {
    let first = *json.get(from)?;
    let (mut at, mut depth) = (from, 0_u32);
    match first {
        b'"' if json[from..].starts_with(b"\"\"") => return None,
        b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' => {}
        _ => return None,
    }
    while at < json.len() {
        match json[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += token_len(&json[at..]);
        if depth == 0 {
            break;
        }
    }
    Some(at)
}
