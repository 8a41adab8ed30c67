//! Passwords and tokens in lists of `name=value` with `;` between them: connection strings and cookies.

use std::ops::Range;

use crate::redact::deny::DenyList;
use crate::redact::url;

/// The longest name of a pair, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Adds the places of values whose names are denied. The first pair of a list begins with a word and has a `;` behind it; paths and
/// addresses with parameters begin otherwise.
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

/// A list while it is read.
struct List<'a> {
    text: &'a str,
    /// Start of the text that is no other one.
    start: usize,
    /// Its end: a list goes beyond it in quotes only.
    end: usize,
    /// Cleared once a quote or brace was not closed: this is looked for once.
    may_close: bool,
}

impl List<'_> {
    /// Returns the place from which on another list may begin, as in `cannot connect; host=db;password=x`; from the first place on to
    /// the second one there was no more of one.
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
            // parameters of paths and addresses are no list
            (true, true) => {
                let rest = &self.text[behind..self.end];
                behind + rest.find(' ').unwrap_or(rest.len()) + 1
            }
        }
    }

    /// Returns the place from which on there is none of the list that begins here.
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
                // a word alone, such as `HttpOnly`
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
            if url::is_denied(name, deny) {
                // a first one alone is no list
                found.extend(
                    Some(value).filter(|value| !value.is_empty() && (goes_on || !is_first)),
                );
            } else if self.text[..value.start].ends_with(['"', '\'', '{']) {
                // a list of its own
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

    fn is_quoted(&self) -> bool {
        self.text[..self.start].ends_with('"')
    }

    /// The place of the value that begins here, and what follows it. The last one of a list that other words stand before ends with a
    /// word, and that of a list behind a sign with the counterpart of that.
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
            // one without a backslash rather ends a list that is in quotes itself
            Some(b'"') if quote > start || !self.is_quoted() => {
                let closed = closing_quote(text, inside, quote - start);
                // one that is not closed was cut
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
            // of the escape of the quote
            value = value.trim_end_matches('\\');
        }
        // without a `;` there is no other list
        let behind = end.map_or(self.end, |len| start + len);
        (start..start + value.len(), behind)
    }
}

/// The place of the quote that has as many backslashes before it as the one before this place; two of them stand for one within the
/// value. If there is none, the place behind the last two.
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

/// The place of the sign that ends a value; two of them stand for one within it.
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

/// The sign that ends a text before which this stands: an angle bracket or a backtick may also be part of a password.
fn counterpart(before: &str) -> Option<char> {
    match before.as_bytes().last()? {
        b'<' => Some('>'),
        b'>' => Some('<'),
        b'`' => Some('`'),
        _ => None,
    }
}

/// The first sign from here on that stands around a text within another one, whatever is in it.
fn end_of_text(text: &str, from: usize) -> usize {
    let is_end = |c: char| c.is_ascii_control() || c == '"';
    text[from..]
        .find(is_end)
        .map_or(text.len(), |len| from + len)
}
