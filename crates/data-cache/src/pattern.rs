//! Patterns over SQL text: `*` matches any run of characters, `?` one character, anything else itself. Case, kind of
//! whitespace and leading and trailing semicolons are ignored.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::sql::{contains_word, lower_case};

/// Returns the text in lower case, with one space per run of whitespace and without leading and trailing semicolons, so
/// that patterns match whatever line breaks and terminators a statement has.
pub(crate) fn folded(text: &str) -> String {
    let text = text.trim_matches(|c: char| c == ';' || c.is_whitespace());
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    lower_case(&folded)
}

/// Returns `true` for printable ASCII whose only whitespace is
/// single spaces between words, and without semicolons at its ends.
fn is_plain(text: &str) -> bool {
    if text.starts_with(';') || text.ends_with(';') {
        return false;
    }
    let mut after_space = true;
    for byte in text.bytes() {
        let is_space = byte == b' ';
        if is_space && after_space || !(is_space || byte.is_ascii_graphic()) {
            return false;
        }
        after_space = is_space;
    }
    !after_space
}

/// A pattern that must match a whole text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let folded = folded(text);
        if folded.is_empty() {
            return Err(Error::input("empty pattern; `*` matches everything"));
        }
        Ok(Self(folded))
    }

    /// Returns the pattern in the [`folded`] form that is compared.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns `true` if the pattern contains this name as a separate word.
    pub(crate) fn spells(&self, name: &str) -> bool {
        contains_word(&self.0, &lower_case(name))
    }

    pub(crate) fn literals(&self) -> usize {
        self.0.chars().filter(|c| !matches!(c, '*' | '?')).count()
    }

    /// Returns `true` if the pattern matches the whole text after folding.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match is_plain(text) {
            true => self.matches_plain(text.as_bytes()),
            false => self.matches_folded(&folded(text)),
        }
    }

    /// [`matches_folded`](Self::matches_folded) for a text that needs no
    /// folding except of case: an invalidation checks every entry with it.
    fn matches_plain(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut of_text, mut star) = (0, 0, None);
        while let Some(byte) = text.get(of_text) {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at + 1, of_text));
                    at += 1;
                }
                Some(c) if *c == b'?' || *c == byte.to_ascii_lowercase() => {
                    at += 1;
                    of_text += 1;
                }
                _ => {
                    let Some((after, from)) = &mut star else {
                        return false;
                    };
                    *from += 1;
                    (at, of_text) = (*after, *from);
                }
            }
        }
        pattern[at..].iter().all(|c| *c == b'*')
    }

    /// Greedy, with a single backtracking point: time is at most pattern × text. `text` must be [`folded`].
    pub(crate) fn matches_folded(&self, text: &str) -> bool {
        let (mut pattern, mut text) = (self.0.chars(), text.chars());
        let mut star = None;
        loop {
            let (here, rest) = (pattern.clone(), text.clone());
            let Some(c) = text.next() else {
                return here.as_str().chars().all(|c| c == '*');
            };
            match pattern.next() {
                Some('*') => {
                    star = Some((pattern.clone(), rest.clone()));
                    text = rest;
                }
                Some(p) if p == '?' || p == c => {}
                _ => {
                    let Some((after, from)) = &mut star else {
                        return false;
                    };
                    from.next();
                    pattern = after.clone();
                    text = from.clone();
                }
            }
        }
    }
}
