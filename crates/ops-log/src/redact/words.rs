//! Passwords in lists of `name=value` separated by white space, as in
//! libpq and compatible clients: `host=db user=app password=PASSWORD`.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::redact::deny::DenyList;
use crate::redact::names::last_name;

/// Names, at least one of which a list must have: `password=` alone may occur in any sentence.
const NAMES: [&[u8]; 4] = [b"host", b"hostaddr", b"dbname", b"user"];
const PASSWORD: &[u8] = b"password";

/// Returns `true` if the text may have such a list with a password.
pub(super) fn has_password(text: &[u8]) -> bool {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PASSWORD));
    let is_before_sign = |at: usize| {
        let behind = &text[at + PASSWORD.len()..];
        behind.trim_ascii_start().starts_with(b"=")
    };
    memchr::memchr(b'=', text).is_some() && FINDER.find_iter(text).any(is_before_sign)
}

/// Adds the ranges of passwords in lists that have one of the [`NAMES`], before or after the password.
pub(super) fn in_lists(text: &str, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    if !has_password(text.as_bytes()) || !deny.has(PASSWORD) {
        return;
    }
    let mut list = List::default();
    let (mut at, mut quotes) = (0, 0);
    while let Some(equals) = memchr::memchr(b'=', &text.as_bytes()[at..]) {
        let equals = at + equals;
        let before = text[at..equals].trim_ascii_end();
        let is_apart = at + before.len() < equals;
        let name = last_name(before.as_bytes());
        // a sign of other scripts may stand before: `：password=x`
        let first = name.iter().rposition(|byte| !byte.is_ascii());
        let name = &name[first.map_or(0, |at| at + 1)..];
        let between = &before.as_bytes()[..before.len() - name.len()];
        quotes += memchr::memchr_iter(b'"', between).count();
        if !between.trim_ascii().is_empty() || name.is_empty() {
            list.end(found);
            list.is_quoted = quotes % 2 == 1;
        }
        let (value, end) = list.value(text, equals + 1, is_apart, name == PASSWORD);
        quotes += memchr::memchr_iter(b'"', &text.as_bytes()[equals..end]).count();
        at = end;
        list.is_known |= NAMES.contains(&name);
        if name == PASSWORD && !value.is_empty() {
            list.passwords.push(value);
        }
        // SQL: `SET user = $1, password = $2`
        if is_apart && text[..end].ends_with(',') {
            list.end(found);
        }
    }
    list.end(found);
}

/// State of reading a list.
#[derive(Default)]
struct List {
    passwords: Vec<Range<usize>>,
    is_known: bool,
    /// Set if the list starts within double quotes, and ends at the closing one.
    is_quoted: bool,
}

impl List {
    fn end(&mut self, found: &mut Vec<Range<usize>>) {
        if self.is_known {
            found.append(&mut self.passwords);
        }
        self.passwords.clear();
        self.is_known = false;
    }

    /// Returns the range of the value that starts here, without quotes around it, and the position after it; white
    /// space may precede it only if it precedes the `=` too. A password in single quotes that are not closed was cut.
    fn value(
        &self,
        text: &str,
        from: usize,
        is_apart: bool,
        is_password: bool,
    ) -> (Range<usize>, usize) {
        let start = match is_apart {
            true => text.len() - text[from..].trim_ascii_start().len(),
            false => from,
        };
        if text[start..].starts_with('\'') {
            let (end, is_closed) = self.end_of(text, start + 1, |byte| byte == b'\'');
            if is_closed || is_password {
                return (start + 1..end, end + usize::from(is_closed));
            }
        }
        let quote = text.len() - text[start..].trim_start_matches('\\').len();
        if text[quote..].starts_with('"') && (quote > start || !self.is_quoted) {
            // a quote of another list, or of text that contains a list
            let inside = quote + 1;
            let closed = text[inside..].find('"').filter(|_| is_password);
            return closed.map_or((start..start, start), |len| {
                let value = text[inside..inside + len].trim_end_matches('\\');
                (inside..inside + value.len(), inside + len + 1)
            });
        }
        let (end, _) = self.end_of(text, start, |byte| byte.is_ascii_whitespace());
        (start..end, end)
    }

    /// Returns the position of the end of a value, and `true` if `is_end` matched there. Escaped characters do not
    /// end a value, also with several backslashes in text that is itself escaped. A double quote does if it is
    /// escaped or the list is quoted, unless a letter or digit follows.
    fn end_of(&self, text: &str, from: usize, is_end: impl Fn(u8) -> bool) -> (usize, bool) {
        let bytes = text.as_bytes();
        let mut at = from;
        while let Some(&byte) = bytes.get(at) {
            let slashes = bytes[at..].iter().take_while(|byte| **byte == b'\\');
            let sign = at + slashes.count();
            let is_within = bytes.get(sign + 1).is_some_and(u8::is_ascii_alphanumeric);
            match bytes.get(sign) {
                Some(b'"') if !is_within && (self.is_quoted || sign > at) => return (at, false),
                Some(_) if sign == at && is_end(byte) => return (at, true),
                Some(next) if next.is_ascii() => at = sign + 1,
                _ => at = sign.max(at + 1),
            }
        }
        (bytes.len(), false)
    }
}
