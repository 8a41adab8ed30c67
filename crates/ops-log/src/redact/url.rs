//! Credentials in URLs: `postgres://user:PASSWORD@host`, `https://TOKEN@host`, `?api_key=KEY`.

use std::borrow::Cow;
use std::ops::Range;

use crate::redact::deny::DenyList;
use crate::redact::encoding::Decoded;

/// Ends of the names of parameters that sign a URL, which is a credential then.
const SIGNATURES: [&str; 2] = ["sig", "signature"];

/// The places of all credentials, from left to right.
pub(crate) fn credentials(text: &str, deny: &DenyList) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // most texts are no URLs: one look shows it
    if memchr::memchr3(b':', b'?', b'#', text.as_bytes()).is_none() {
        return found;
    }
    let (mut from, mut word_end) = (0, 0);
    while let Some(at) = text[from..].find("://") {
        let (scheme_end, authority) = (from + at, from + at + 3);
        // once for each word, however often it has what looks like a scheme; an apostrophe may end it earlier
        let is_new = authority > word_end;
        if is_new || text[from..scheme_end].contains('\'') {
            let rest = &text[authority..];
            let end = rest.find(end_at(text, authority));
            word_end = authority + end.unwrap_or(rest.len());
        }
        let word = &text[authority..word_end];
        let is_web = is_web(&text[..scheme_end]);
        found.extend(in_authority(word, authority, is_web));
        if is_new {
            path_parameters(word, authority, is_web, deny, &mut found);
        }
        from = authority;
    }
    parameters(text, deny, &mut found);
    found.sort_by_key(|range| range.start);
    found.dedup_by(|next, before| {
        let overlap = next.start < before.end;
        if overlap {
            before.end = before.end.max(next.end);
        }
        overlap
    });
    found
}

/// The password between `://` and `@`; the user's name stays, unless it is all there is of a web address.
fn in_authority(word: &str, start: usize, is_web: bool) -> Option<Range<usize>> {
    let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
    let userinfo = match authority.rfind('@') {
        Some(at) => &authority[..at],
        // a password may hold what ends an authority: no port is such a word
        None => {
            let (_, port) = authority.split_once(':')?;
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            &word[..word.rfind('@')?]
        }
    };
    match userinfo.find(':') {
        Some(colon) => Some(start + colon + 1..start + userinfo.len()),
        None if is_web => Some(start..start + userinfo.len()),
        None => None,
    }
    .filter(|range| !range.is_empty())
}

/// Reports whether the text ends with `http` or `https`, in whatever case.
fn is_web(text: &str) -> bool {
    let is_end = |scheme: &str| {
        let at = text.len().checked_sub(scheme.len());
        at.and_then(|at| text.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    };
    is_end("http") || is_end("https")
}

/// Values of parameters whose names are denied, behind `?`, `&`, `;` or `#`; letters of the names may be percent-encoded.
fn parameters(text: &str, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some(mark) = text[from..].find(['?', '#']) {
        let mut at = from + mark + 1;
        let is_end = end_at(text, at);
        loop {
            let rest = &text[at..];
            let len = rest
                .find(|c| is_end(c) || matches!(c, '&' | ';' | '#'))
                .unwrap_or(rest.len());
            found.extend(denied_value(&rest[..len], at, deny));
            at += len;
            match text[at..].chars().next() {
                Some('&' | ';' | '#') => at += 1,
                _ => break,
            }
        }
        from = at;
    }
}

/// The same of parameters behind a `;` before any query: `/cart;jsessionid=ID`, `jdbc:sqlserver://host;password=PASSWORD`. Those
/// of a web address end with their part of the path; elsewhere a value in braces may hold a `;`.
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
            match closing_brace(&rest[value..]) {
                Some(end) => len = value + end + 1,
                // nor does a later one: this is looked for once
                None => may_close = false,
            }
        }
        found.extend(denied_value(&rest[..len], start + at, deny));
        at += len;
    }
}

/// The place of the brace that ends a value; two of them stand for one within it.
fn closing_brace(value: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += value[at..].find('}')?;
        match value[at + 1..].starts_with('}') {
            true => at += 2,
            false => return Some(at),
        }
    }
}

/// The place of the value of `name=value`, which stands here, if the name is denied.
fn denied_value(parameter: &str, at: usize, deny: &DenyList) -> Option<Range<usize>> {
    let equals = parameter.find('=')?;
    let name = &percent_decoded(&parameter[..equals]);
    let last_word = name.rsplit(['-', '_']).next().unwrap_or(name);
    let denied = deny.has(name.as_bytes())
        || SIGNATURES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(last_word));
    (denied && equals + 1 < parameter.len()).then_some(at + equals + 1..at + parameter.len())
}

/// The text with one level of percent-encoding taken back; what is no UTF-8 then is replaced.
pub(super) fn percent_decoded(text: &str) -> Cow<'_, str> {
    match Decoded::new(text.as_bytes(), b'%').and_then(|text| text.next()) {
        Some(decoded) => Cow::Owned(String::from_utf8_lossy(&decoded.bytes).into_owned()),
        None => Cow::Borrowed(text),
    }
}

/// White space and what stands around a URL in text, at this place of which it is. An apostrophe may be part of a URL: it ends one
/// that stands behind another one.
fn end_at(text: &str, place: usize) -> impl Fn(char) -> bool + Copy {
    let is_end =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\' | '`');
    let before = &text[..place];
    let word = before.rfind(is_end).map_or(before, |end| &before[end..]);
    let is_quoted = word.contains('\'');
    move |c| is_end(c) || (is_quoted && c == '\'')
}
