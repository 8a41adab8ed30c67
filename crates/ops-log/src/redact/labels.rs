//! Values after a name in text: headers, `X-Api-Key: KEY`, lines of YAML, `password: PASSWORD`,
//! and options of commands, `--password PASSWORD`.

use std::ops::Range;

use crate::redact::deny::DenyList;
use crate::redact::names::{is_end_of_word, last_name};

/// Maximum length of a value whose closing quote, or the one around all lines, is searched, in bytes.
const MAX_VALUE_BYTES: usize = 4 * 1024;

/// Returns `true` if the text has several lines, one of which may be a line of YAML.
#[cold]
pub(super) fn has_line(text: &[u8]) -> bool {
    let is_line = |colon: usize| {
        let name = last_name(&text[..colon]);
        text[colon + 1..].starts_with(b" ")
            && name.iter().any(u8::is_ascii_alphabetic)
            && starts_line(&text[..colon - name.len()], name)
    };
    end_of_line(text).is_some() && memchr::memchr_iter(b':', text).any(is_line)
}

/// Returns `true` if the text may have a header.
pub(super) fn has_header(text: &[u8]) -> bool {
    memchr::memchr_iter(b':', text).any(|colon| is_header(&text[..colon]))
}

/// Returns `true` if the text may have an option.
pub(super) fn has_option(text: &[u8]) -> bool {
    options(text).next().is_some()
}

/// Returns `true` if the name of a header ends here: it has a dash. Other names may be words of a sentence.
fn is_header(before: &[u8]) -> bool {
    before.last().is_some_and(u8::is_ascii_alphabetic) && last_name(before).contains(&b'-')
}

/// Returns the positions after `--` at the start of an option.
fn options(text: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'-', text).filter_map(|at| {
        let is_name = matches!(&text[at + 1..], [b'-', first, ..] if first.is_ascii_alphabetic());
        let is_first = at == 0 || !(text[at - 1] == b'-' || text[at - 1].is_ascii_alphanumeric());
        (is_name && is_first).then_some(at + 2)
    })
}

/// Adds the ranges of the values of denied names.
pub(super) fn find(text: &str, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut read = 0;
    // end of the line that is read
    let mut end = end_of_line(bytes);
    let has_lines = end.is_some();
    for colon in memchr::memchr_iter(b':', bytes) {
        let before = &bytes[..colon];
        let name = last_name(before);
        if colon < read || !deny.has(name) {
            continue;
        }
        let value = if is_header(before) {
            let word = header(text, colon + 1);
            read = word.end;
            // a path is not a header: `registry/api-token:v1.2.3`
            let is_path = before[..before.len() - name.len()].ends_with(b"/");
            Some(word).filter(|word| !is_path && is_key(&text[word.clone()]))
        } else if has_lines && starts_line(&before[..before.len() - name.len()], name) {
            while let Some(before) = end.filter(|end| *end < colon) {
                let len = end_of_line(&bytes[before + 1..]);
                end = len.map(|len| before + 1 + len);
            }
            rest_of_line(text, colon + 1..end.unwrap_or(text.len()))
        } else {
            None
        };
        found.extend(value);
    }
    for start in options(bytes) {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let len = bytes[start..].iter().take_while(|byte| is_part(byte));
        let end = start + len.count();
        if deny.has(&bytes[start..end]) {
            found.extend(of_option(text, end));
        }
    }
}

/// Returns the range of the first word of a header's value.
fn header(text: &str, from: usize) -> Range<usize> {
    let start = text.len() - text[from..].trim_start_matches(' ').len();
    word(text, start, |c| is_end_of_word(c) || c == '\'')
}

/// Returns `true` for what a header may have as a credential.
fn is_key(value: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=:|".contains(&byte);
    value.bytes().all(is_sign) && !value.starts_with(':') && !is_plain(value) && !is_number(value)
}

/// Returns `true` for a short number such as a port, a version, a count or a duration: `153ms`.
fn is_number(value: &str) -> bool {
    let number = value.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let is_part = |byte: u8| byte.is_ascii_digit() || b".:".contains(&byte);
    value.len() < 6 && value.len() - number.len() <= 2 && number.bytes().all(is_part)
}

/// Returns the end of the line that starts here; it may be escaped, as in JSON.
fn end_of_line(text: &[u8]) -> Option<usize> {
    let ends = |at: &usize| text[*at] == b'\n' || text.get(*at + 1) == Some(&b'n');
    memchr::memchr2_iter(b'\n', b'\\', text).find(ends)
}

/// Returns `true` if a line, or a text in quotes, has nothing before a name but blanks and the dash of a list.
fn starts_line(before: &[u8], name: &[u8]) -> bool {
    let is_blank = |byte: &&u8| b" \t-".contains(byte);
    let blanks = before.iter().rev().take_while(is_blank).count();
    match &before[..before.len() - blanks] {
        [] | [.., b'\n' | b'"'] | [.., b'\\', b'n'] => true,
        // the letter of an escape looks like a part of the name
        [.., b'\\'] => blanks == 0 && name.starts_with(b"n"),
        _ => false,
    }
}

/// Returns the range of a value that is the rest of a line: one word, or in quotes.
fn rest_of_line(text: &str, rest: Range<usize>) -> Option<Range<usize>> {
    let (from, line) = (rest.start, &text[rest]);
    let value = line.trim_start();
    let slashes = value.len() - value.trim_start_matches('\\').len();
    let start = from + line.len() - value.len() + slashes;
    let value = value[slashes..].trim_end().trim_end_matches("\\r");
    if !line.starts_with(' ') {
        return None;
    }
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let inside = &value[1..];
        let ends = inside.match_indices(quote).map(|(end, _)| end);
        let mut ends = ends.take_while(|end| *end < MAX_VALUE_BYTES);
        let end = ends.find(|end| {
            let before = inside[..*end].len() - inside[..*end].trim_end_matches('\\').len();
            let is_closing = before == slashes || (slashes == 0 && before.is_multiple_of(2));
            is_closing && is_end(&inside[end + 1..])
        })?;
        let inside = &inside[..end];
        let inside = match slashes {
            0 => inside,
            _ => inside.trim_end_matches('\\'),
        };
        return (!inside.is_empty()).then_some(start + 1..start + 1 + inside.len());
    }
    let end = value.find(" #").unwrap_or(value.len());
    let quotes = value[..end].match_indices('"').map(|(at, _)| at);
    let mut quotes = quotes.take_while(|at| *at < MAX_VALUE_BYTES);
    let outer = quotes.find(|at| is_end(&value[at + 1..end]));
    let value = value[..outer.unwrap_or(end)]
        .trim_end()
        .trim_end_matches('\\');
    let is_other = |c: char| c.is_whitespace() || "{}[]()<>$&*|,\"'`".contains(c);
    // a line of source code: `token: string;`
    let is_value = !value.contains(is_other) && !is_plain(value.trim_end_matches(';'));
    is_value.then_some(start..start + value.len())
}

/// Returns `true` if nothing of a value follows its closing quote, or the one around all lines.
fn is_end(behind: &str) -> bool {
    behind.is_empty() || behind.starts_with([' ', '\\', '"', ',', ')', ']', '}'])
}

/// Returns the range of the value of an option whose name ends here.
fn of_option(text: &str, end: usize) -> Option<Range<usize>> {
    let is_given = text[end..].starts_with('=');
    let from = end + usize::from(is_given);
    let start = match is_given {
        true => from,
        false => text.len() - text[from..].trim_start_matches(' ').len(),
    };
    if start == end {
        return None;
    }
    let quoted = text.len() - text[start..].trim_start_matches('\\').len();
    let quote = text[quoted..].chars().next()?;
    if matches!(quote, '\'' | '"') {
        let inside = quoted + 1;
        let len = text[inside..].find(quote).unwrap_or(text.len() - inside);
        let value = text[inside..inside + len].trim_end_matches('\\');
        let has_letters = value.contains(|c: char| c.is_alphanumeric());
        return has_letters.then_some(inside..inside + value.len());
    }
    let value = word(text, start, |c| matches!(c, '"' | '\'' | '`'));
    let is_value = quote.is_ascii_alphanumeric() || (!quote.is_ascii() && !quote.is_whitespace());
    (is_value && !is_plain(&text[value.clone()])).then_some(value)
}

/// Returns the range of the word that starts here, without punctuation after it.
fn word(text: &str, start: usize, is_end: impl Fn(char) -> bool) -> Range<usize> {
    let rest = &text[start..];
    let is_behind = |c: char| c.is_whitespace() || c.is_control() || is_end(c);
    let len = rest.find(is_behind).unwrap_or(rest.len());
    let value = rest[..len].trim_end_matches([',', ';', ')', ']', '}', '\\']);
    let quoted = rest[value.len()..].trim_start_matches('\\');
    let is_name = value.ends_with('=')
        && (quoted.strip_prefix('"')).is_some_and(|text| text.starts_with(char::is_alphanumeric));
    // `--secret TOKEN="TOKEN"`: the quoted text is the value, of this name
    start..start + if is_name { 0 } else { value.len() }
}

/// Returns `true` for what is hardly a credential: a word or several with dashes, such as `required` and
/// `db-account`, the name of a variable, and what is as short as a type or a small number.
fn is_plain(value: &str) -> bool {
    let letters = value.strip_prefix(|first: char| first.is_ascii_uppercase());
    let is_word =
        |byte: u8| byte.is_ascii_lowercase() || !byte.is_ascii() || b"-_./:".contains(&byte);
    let is_variable = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    letters.unwrap_or(value).bytes().all(is_word)
        || value.bytes().all(is_variable)
        || value.len() < 4
}
