//! Credentials in URLs, `postgres://user:PASSWORD@host`,
//! `https://TOKEN@host`, `?api_key=KEY`, and in connection strings.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::ops::Range;

use crate::redact::deny::DenyList;
use crate::redact::encoding::{Decoded, PERCENT_LEVELS};
use crate::redact::labels;
use crate::redact::markup;
use crate::redact::names::{is_denied, is_end_of_word, percent_decoded};
use crate::redact::notations;
use crate::redact::pairs;
use crate::redact::words;

/// Returns the ranges of all credentials, from left to right; also
/// in URLs within JSON in the text, whose characters may be escaped.
pub(crate) fn credentials(text: &str, deny: &DenyList) -> Vec<Range<usize>> {
    let mut found = credentials_within(text, deny, PERCENT_LEVELS);
    let unescaped = Decoded::new(text.as_bytes(), b'\\').and_then(|text| text.next());
    if let Some(unescaped) = unescaped
        && let Ok(text) = std::str::from_utf8(&unescaped.bytes)
    {
        let within = credentials_within(text, deny, PERCENT_LEVELS);
        found.extend(within.into_iter().map(|place| unescaped.source(place)));
        join(&mut found);
    }
    found
}

/// Same as [`credentials`] without JSON escapes; a URL that is
/// the value of a parameter is decoded up to this many levels.
fn credentials_within(text: &str, deny: &DenyList, levels: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    words::in_lists(text, deny, &mut found);
    notations::find(text, deny, &mut found);
    labels::find(text, deny, &mut found);
    markup::find(text, deny, &mut found);
    // most texts contain no URL, as one check shows
    let has_paths = memchr::memchr(b';', text.as_bytes()).is_some();
    if !has_paths && memchr::memchr3(b':', b'?', b'#', text.as_bytes()).is_none() {
        join(&mut found);
        return found;
    }
    if has_paths {
        paths(text, deny, &mut found);
        pairs::in_lists(text, deny, &mut found);
    }
    let (mut from, mut word_end, mut quotes) = (0, 0, Quotes::default());
    let mut last_at = None;
    while let Some(at) = text[from..].find("://") {
        let (scheme_end, authority) = (from + at, from + at + 3);
        // once per word, however many schemes it seems to have; an apostrophe may end it earlier
        let is_new = authority > word_end;
        if is_new || text[from..scheme_end].contains('\'') {
            let rest = &text[authority..];
            let end = rest.find(quotes.end_at(text, authority));
            word_end = authority + end.unwrap_or(rest.len());
            last_at = text[authority..word_end]
                .rfind('@')
                .map(|at| authority + at);
        }
        let word = &text[authority..word_end];
        let is_web = is_web(&text[..scheme_end]);
        let last_at = last_at.and_then(|at| at.checked_sub(authority));
        found.extend(in_authority(word, authority, last_at, is_web));
        if is_new {
            path_parameters(word, authority, is_web, deny, &mut found);
        }
        from = authority;
    }
    parameters(text, deny, levels, &mut found);
    join(&mut found);
    found
}

/// Sorts the ranges, and merges overlapping ones.
fn join(found: &mut Vec<Range<usize>>) {
    found.sort_by_key(|range| range.start);
    found.dedup_by(|next, before| {
        let overlap = next.start < before.end;
        if overlap {
            before.end = before.end.max(next.end);
        }
        overlap
    });
}

/// Returns the range of the password between `://` and `@`; the user's name stays,
/// unless a web address has only that. `last_at` is the last `@` of the word.
fn in_authority(
    word: &str,
    start: usize,
    last_at: Option<usize>,
    is_web: bool,
) -> Option<Range<usize>> {
    let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
    let userinfo = match authority.rfind('@') {
        Some(at) => &authority[..at],
        // a password may contain a character that ends an authority; a port has digits only
        None if is_bracketed(authority) => return None,
        None => {
            let (_, port) = authority.split_once(':')?;
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            &word[..last_at?]
        }
    };
    match userinfo.find(':') {
        Some(colon) => Some(start + colon + 1..start + userinfo.len()),
        None if is_web => Some(start..start + userinfo.len()),
        None => None,
    }
    .filter(|range| !range.is_empty())
}

/// Returns `true` for an IPv6 address in brackets, whose colons do not separate a port.
fn is_bracketed(authority: &str) -> bool {
    let parts = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    parts.is_some_and(|(address, port)| {
        let address = address.split('%').next().unwrap_or_default();
        let is_port = |byte: u8| byte == b':' || byte.is_ascii_digit();
        address.parse::<Ipv6Addr>().is_ok() && port.bytes().all(is_port)
    })
}

/// Returns `true` if the text ends with `http` or `https`, ignoring case.
fn is_web(text: &str) -> bool {
    let is_end = |scheme: &str| {
        let at = text.len().checked_sub(scheme.len());
        at.and_then(|at| text.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    };
    is_end("http") || is_end("https")
}

/// Adds the values of parameters with denied names, after `?`,
/// `&`, `;` or `#`; letters of the names may be percent-encoded.
fn parameters(text: &str, deny: &DenyList, levels: usize, found: &mut Vec<Range<usize>>) {
    let (mut from, mut quotes) = (0, Quotes::default());
    while let Some(mark) = text[from..].find(['?', '#']) {
        let mut at = from + mark + 1;
        let is_end = quotes.end_at(text, at);
        let mut end = 0;
        loop {
            if end < at {
                let rest = &text[at..];
                let len = rest.find(|c| is_end(c) || matches!(c, '&' | ';' | '#'));
                end = at + len.unwrap_or(rest.len());
            }
            // a value that is a URL may have its own query
            let query = text[at..end].find('?').map_or(end, |len| at + len);
            let denied = match text[at..query].contains('=') {
                true => denied_value(&text[at..end], at, deny),
                false => None,
            };
            at = match denied {
                Some(place) => {
                    found.push(place);
                    end
                }
                None => {
                    found.extend(encoded_value(&text[at..query], at, deny, levels));
                    query
                }
            };
            match text[at..].chars().next() {
                Some('&' | ';' | '#' | '?') => at += 1,
                _ => break,
            }
        }
        from = at;
    }
}

/// Returns the range of the value of this `name=value`, if it is
/// percent-encoded and has credentials, such as a URL to continue to.
fn encoded_value(
    parameter: &str,
    at: usize,
    deny: &DenyList,
    levels: usize,
) -> Option<Range<usize>> {
    let value = parameter.find('=')? + 1;
    let mut text = Cow::Borrowed(&parameter[value..]);
    for left in (0..levels).rev() {
        let Cow::Owned(decoded) = percent_decoded(&text) else {
            break;
        };
        if !credentials_within(&decoded, deny, left).is_empty() {
            return Some(at + value..at + parameter.len());
        }
        text = Cow::Owned(decoded);
    }
    None
}

/// Adds the values of parameters in paths without scheme and host.
fn paths(text: &str, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for word in text.split(is_end_of_word) {
        if word.starts_with('/') {
            path_parameters(word, start, true, deny, found);
        }
        start += word.len();
        start += text[start..].chars().next().map_or(0, char::len_utf8);
    }
}

/// Adds the values of parameters after a `;` before any query: `/cart;jsessionid=ID`,
/// `jdbc:sqlserver://host;password=PASSWORD`. In a web address they end with the path
/// segment; elsewhere a value in braces may contain a `;`.
fn path_parameters(
    word: &str,
    start: usize,
    is_web: bool,
    deny: &DenyList,
    found: &mut Vec<Range<usize>>,
) {
    let path = match word.find(['?', '#']) {
        Some(end) if is_web => &word[..end],
        _ => word,
    };
    let (mut at, mut may_close) = (0, !is_web);
    while let Some(mark) = path[at..].find(';') {
        at += mark + 1;
        let rest = &path[at..];
        let plain = rest.find(|c| c == ';' || (is_web && c == '/'));
        let mut len = plain.unwrap_or(rest.len());
        if may_close && let Some(brace) = rest[..len].find("={") {
            let value = brace + 2;
            match pairs::closing(&rest[value..], '}') {
                Some(end) => len = value + end + 1,
                // the search is not repeated: a later brace is not closed either
                None => may_close = false,
            }
        }
        found.extend(denied_value(&rest[..len], start + at, deny));
        at += len;
    }
}

/// Returns the range of the value of this `name=value`, if the name is denied.
fn denied_value(parameter: &str, at: usize, deny: &DenyList) -> Option<Range<usize>> {
    let equals = parameter.find('=')?;
    let name = &percent_decoded(&parameter[..equals]);
    let has_value = equals + 1 < parameter.len();
    (has_value && is_denied(name, deny)).then_some(at + equals + 1..at + parameter.len())
}

/// Quotes seen so far: an apostrophe may be part of a URL, but ends a URL that follows
/// another apostrophe in its word. Positions must be passed from left to right.
#[derive(Default)]
struct Quotes {
    looked_to: usize,
    is_quoted: bool,
}

impl Quotes {
    /// Returns a test for the characters that end a URL at this position: white space and delimiters.
    fn end_at(&mut self, text: &str, place: usize) -> impl Fn(char) -> bool + Copy + use<> {
        let before = &text[self.looked_to.min(place)..place];
        let word = before.rfind(is_end_of_word);
        self.is_quoted &= word.is_none();
        self.is_quoted |= before[word.unwrap_or(0)..].contains('\'');
        self.looked_to = place;
        let is_quoted = self.is_quoted;
        move |c| is_end_of_word(c) || (is_quoted && c == '\'')
    }
}
