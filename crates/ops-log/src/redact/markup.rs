//! Credentials in XML and similar markup: `<password>PASSWORD</password>`,
//! `<login password="PASSWORD"/>`, `<add key="password" value="PASSWORD"/>`.

use std::ops::Range;

use crate::redact::deny::DenyList;

const CDATA: &str = "<![CDATA[";
/// Attributes that name the element's content or its `value`.
const NAMING: [&str; 2] = ["name", "key"];

/// Returns `true` if the text may have a tag; `first` is its first `<`.
pub(super) fn may_be_in(text: &[u8], first: usize) -> bool {
    let mut tags = memchr::memchr_iter(b'<', &text[first..]).map(|at| text.get(first + at + 1));
    // types of a generic have no attributes or closing tags: `Vec<u8>`
    tags.clone().any(|next| next.is_some_and(is_start))
        && memchr::memchr(b'>', text).is_some()
        && (memchr::memchr(b'=', text).is_some()
            || tags.any(|next| matches!(next, Some(b'/' | b'!'))))
}

fn is_start(byte: &u8) -> bool {
    byte.is_ascii_alphabetic() || *byte == b'_'
}

/// Adds the ranges of the values of denied names.
pub(super) fn find(text: &str, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some(at) = text[from..].find('<') {
        from += at + 1;
        if text.as_bytes().get(from).is_some_and(is_start) {
            from = element(text, from, deny, found);
        }
    }
}

/// Reads the tag whose name starts here; returns the position up to which the text was read.
fn element(text: &str, start: usize, deny: &DenyList, found: &mut Vec<Range<usize>>) -> usize {
    let name = name_at(text, start);
    let mut at = start + name.len();
    let mut is_denied = deny.has(name.as_bytes());
    let mut value = None;
    loop {
        let attribute = text.len() - text[at..].trim_ascii_start().len();
        let key = name_at(text, attribute);
        let quote = attribute + key.len();
        let quote = match text[quote..].strip_prefix('=') {
            Some(rest) if !key.is_empty() && attribute > at => text.len() - rest.len(),
            _ => {
                at = attribute;
                break;
            }
        };
        // the quotes are escaped if the markup is within a string
        let sign = text.len() - text[quote..].trim_start_matches('\\').len();
        let Some(mark) = text[sign..]
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
        else {
            return quote;
        };
        let inside = sign + 1;
        let Some(len) = text[inside..].find(mark) else {
            return inside;
        };
        at = inside + len + 1;
        let content = text[inside..inside + len].trim_end_matches('\\');
        let place = inside..inside + content.len();
        let is_one = |known: &str| known.eq_ignore_ascii_case(key);
        if NAMING.into_iter().any(is_one) {
            is_denied |= deny.has(content.as_bytes());
        } else if is_one("value") {
            value = Some(place);
        } else if content.len() > 1 && deny.has(key.as_bytes()) {
            // HTML has keys of the keyboard: `accesskey="p"`
            found.push(place);
        }
    }
    let is_tag = text[at..].starts_with(['>', '/', '?']);
    if is_tag && is_denied {
        found.extend(value.filter(|value| !value.is_empty()));
        if let Some(content) = content(text, at, name) {
            at = content.end;
            found.push(content);
        }
    }
    at
}

/// Returns the range of the content of an element whose tag ends here, if it is text.
fn content(text: &str, at: usize, name: &str) -> Option<Range<usize>> {
    let start = at + 1;
    text[at..].strip_prefix('>')?;
    if text[start..].starts_with(CDATA) {
        let inside = start + CDATA.len();
        let len = text[inside..].find("]]>").unwrap_or(text.len() - inside);
        return (len > 0).then_some(inside..inside + len);
    }
    let len = text[start..].find('<')?;
    let closing = text[start + len..].strip_prefix("</")?;
    let value = text[start..start + len].trim();
    let first = text.len() - text[start..].trim_start().len();
    let is_value = closing.starts_with(name) && !value.is_empty();
    is_value.then_some(first..first + value.len())
}

fn name_at(text: &str, start: usize) -> &str {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte);
    let len = text.as_bytes()[start..]
        .iter()
        .take_while(|byte| is_part(byte));
    &text[start..start + len.count()]
}
