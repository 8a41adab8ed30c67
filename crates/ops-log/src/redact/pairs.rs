//! Passwords and tokens in lists of `name=value` separated by `;`: connection strings and cookies.

use std::ops::Range;

use crate::redact::deny::DenyList;
use crate::redact::names::{MAX_NAME_BYTES, is_denied};

/// Adds the ranges of values whose names are denied. The first pair of a list starts
/// with a word and is followed by `;`; paths and URLs with parameters start differently.
pub(super) fn in_lists(text: &str, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    let mut list = List {
        text,
        start: 0,
        end: end_of_text(text, 0),
        may_close: true,
    };
    let mut from = 0;
    while from < text.len() {
        let behind = list.read(from, deny, found);
        from = list.next(from, behind);
        if list.end < from && from < text.len() {
            (list.start, list.end, list.may_close) = (from, end_of_text(text, from), true);
        }
    }
}

/// State of reading a list.
struct List<'a> {
    text: &'a str,
    /// Start of the enclosing text.
    start: usize,
    /// End of the enclosing text; only a quoted value may extend beyond it.
    end: usize,
    /// Cleared once a quote or brace was not closed, so that the search for it is not repeated.
    may_close: bool,
}

impl List<'_> {
    /// Returns the position from which another list may start, as in
    /// `cannot connect; host=db;password=x`, after the list from `from` to `behind`.
    fn next(&self, from: usize, behind: usize) -> usize {
        if behind >= self.end {
            return self.end + 1;
        }
        let is_mark = self.text[behind..].starts_with([';', '=']);
        let before = &self.text[from..behind];
        let is_path = !before.contains([';', '=']) && last_word(before).contains('/');
        match (is_mark, is_path) {
            (false, _) => behind,
            (true, false) => behind + 1,
            // parameters of paths and URLs are not a list
            (true, true) => {
                let rest = &self.text[behind..self.end];
                behind + rest.find(' ').unwrap_or(rest.len()) + 1
            }
        }
    }

    /// Reads the list that starts at `from`, and returns the position at which it ends.
    fn read(&mut self, from: usize, deny: &DenyList, found: &mut Vec<Range<usize>>) -> usize {
        let (mut at, mut is_first, mut is_whole, mut closing) = (from, true, false, None);
        loop {
            let Some(mark) = self.text[at..self.end].find([';', '=']) else {
                return self.end;
            };
            let mark = at + mark;
            let before = self.text[at..mark].trim_end_matches(' ');
            let name = match is_first {
                true => last_word(before),
                false => before.trim_start(),
            };
            if !is_name(name, is_first) {
                return mark;
            }
            if self.text[mark..].starts_with(';') {
                if is_first {
                    return mark;
                }
                // a word without a value, such as `HttpOnly`
                at = mark + 1;
                continue;
            }
            let is_apart = is_first || name.contains(' ') || at + before.len() < mark;
            if is_apart && self.text[mark + 1..].starts_with('=') {
                // a comparison
                return mark;
            }
            if is_first {
                closing = counterpart(&self.text[..at + before.len() - name.len()]);
                let is_all = from == self.start && before.len() == name.len();
                is_whole = is_all || closing.is_some();
            }
            let (value, behind) = self.value(mark + 1, is_whole, closing);
            let goes_on = self.text[behind..].starts_with(';');
            let is_plain = !self.text[..value.start].ends_with(['"', '\'', '{']);
            let is_apart = is_first && is_plain && at + before.len() < mark;
            if is_apart && is_expression(&self.text[value.clone()]) && !self.has_more(behind) {
                // a statement: `let token = next();`
                return behind;
            }
            if is_denied(name, deny) {
                // a single pair is not a list
                found.extend(
                    Some(value).filter(|value| !value.is_empty() && (goes_on || !is_first)),
                );
            } else if !is_plain {
                // the value is a list itself
                let own = found.len();
                in_lists(&self.text[value.clone()], deny, found);
                for place in &mut found[own..] {
                    *place = place.start + value.start..place.end + value.start;
                }
            }
            if !goes_on {
                return behind;
            }
            (at, is_first) = (behind + 1, false);
        }
    }

    /// Returns `true` if another pair may follow.
    fn has_more(&self, from: usize) -> bool {
        self.text[from.min(self.end)..self.end].contains('=')
    }

    fn is_quoted(&self) -> bool {
        self.text[..self.start].ends_with('"')
    }

    /// Returns the range of the value that starts here, and the position after it. If other words precede the list,
    /// its last value is one word; if an opening character precedes it, its last value ends at the closing one.
    fn value(
        &mut self,
        from: usize,
        is_whole: bool,
        closing_sign: Option<char>,
    ) -> (Range<usize>, usize) {
        let text = self.text;
        let start = text.len() - text[from..].trim_start_matches(' ').len();
        let quote = text.len() - text[start..].trim_start_matches('\\').len();
        let inside = quote + 1;
        let closed = match text.as_bytes().get(quote) {
            // an unescaped quote more likely ends a list that is itself quoted
            Some(b'"') if quote > start || !self.is_quoted() => {
                let closed = closing_quote(text, inside, quote - start);
                // an unclosed value was cut
                Some(closed.unwrap_or_else(|from| end_of_text(text, from)) - inside)
            }
            Some(sign @ (b'\'' | b'{')) if self.may_close && inside <= self.end => {
                let sign = if *sign == b'{' { '}' } else { '\'' };
                let closed = closing(&text[inside..self.end], sign);
                self.may_close = closed.is_some();
                closed
            }
            _ => None,
        };
        if let Some(len) = closed {
            let value = text[inside..inside + len].trim_end_matches('\\');
            let closed = (inside + len + 1).min(text.len());
            if closed > self.end {
                self.end = end_of_text(text, closed);
            }
            let behind = text.len() - text[closed..].trim_start_matches(' ').len();
            return (inside..inside + value.len(), behind);
        }
        let start = start.min(self.end);
        let rest = &text[start..self.end];
        let end = rest.find(|c| c == ';' || Some(c) == closing_sign);
        let len = end.unwrap_or_else(|| match is_whole {
            true => rest.len(),
            false => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        });
        let mut value = rest[..len].trim_end();
        if text[start + len..].starts_with('"') {
            // backslashes that escape the quote
            value = value.trim_end_matches('\\');
        }
        // without a `;` no other list follows
        let behind = end.map_or(self.end, |len| start + len);
        (start..start + value.len(), behind)
    }
}

/// Returns the position of the quote with as many backslashes before it as the opening one; two such quotes
/// stand for one within the value. If there is none, the error is the position after the last such pair.
fn closing_quote(text: &str, from: usize, slashes: usize) -> Result<usize, usize> {
    let (mut at, mut within) = (from, from);
    loop {
        let place = at + text[at..].find('"').ok_or(within)?;
        let before = &text[at..place];
        at = place + 1;
        if before.len() - before.trim_end_matches('\\').len() != slashes {
            continue;
        }
        let next = text[at..].trim_start_matches('\\');
        if text.len() - next.len() != at + slashes || !next.starts_with('"') {
            return Ok(place);
        }
        at += slashes + 1;
        within = at;
    }
}

/// Returns the position of the character that ends a value; two of them stand for one within the value.
pub(super) fn closing(value: &str, sign: char) -> Option<usize> {
    let mut at = 0;
    loop {
        at += value[at..].find(sign)?;
        match value[at + 1..].starts_with(sign) {
            true => at += 2,
            false => return Some(at),
        }
    }
}

/// Returns `true` for an expression of source code: `next()`, `self.input`, `[u8`, `$1`. Passwords
/// usually have other characters than small letters.
fn is_expression(value: &str) -> bool {
    let value = value.trim_start_matches('&');
    let is_call = value.contains('(') && value.ends_with(')');
    let number = value.strip_prefix('$');
    let is_parameter =
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_word = |byte: u8| byte.is_ascii_lowercase() || b"_.".contains(&byte);
    is_call || is_parameter || value.starts_with('[') || value.bytes().all(is_word)
}

fn last_word(text: &str) -> &str {
    let is_before =
        |c: char| c.is_whitespace() || matches!(c, '(' | '[' | '{' | '\'' | '<' | '>' | '`');
    text.rsplit(is_before).next().unwrap_or_default()
}

fn is_name(text: &str, is_word: bool) -> bool {
    let is_sign = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) || (byte == b' ' && !is_word)
    };
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_sign)
}

/// Returns the character that closes the text opened at the end of
/// `before`; elsewhere that character may be part of a password.
fn counterpart(before: &str) -> Option<char> {
    match before.as_bytes().last()? {
        b'<' => Some('>'),
        b'>' => Some('<'),
        b'`' => Some('`'),
        _ => None,
    }
}

/// Returns the position of the next quote or control character, which ends an embedded text.
fn end_of_text(text: &str, from: usize) -> usize {
    let is_end = |c: char| c.is_ascii_control() || c == '"';
    text[from..]
        .find(is_end)
        .map_or(text.len(), |len| from + len)
}
