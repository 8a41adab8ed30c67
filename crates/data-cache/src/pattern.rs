//! Patterns over SQL text: `*` is any run, `?` one character, everything else itself; case and kind of whitespace do not
//! matter.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::sql::{self, Dialect};

/// The text in lower case, with one space for each run of whitespace: a pattern does not know where a statement had its
/// line breaks.
pub(crate) fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded.to_lowercase()
}

/// A pattern for the whole of a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let folded = folded(&sql::normalize(text, Dialect::DuckDb));
        if folded.is_empty() {
            return Err(Error::input("an empty pattern; `*` matches everything"));
        }
        Ok(Self(folded))
    }

    /// Returns `true` if the pattern spells this name out, as a word of its own.
    pub(crate) fn spells(&self, name: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        !name.is_empty()
            && self.0.match_indices(name).any(|(at, _)| {
                let before = self.0[..at].chars().next_back();
                let after = self.0[at + name.len()..].chars().next();
                !before.is_some_and(is_part) && !after.is_some_and(is_part)
            })
    }

    pub(crate) fn literals(&self) -> usize {
        self.0.chars().filter(|c| !matches!(c, '*' | '?')).count()
    }

    /// Greedy with one place to come back to: time is at most pattern × text. `text` is [`folded`].
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
