//! Patterns over SQL text: `*` is any run, `?` one character, everything else itself; case does not matter.

use crate::error::Error;
use crate::sql;

/// A pattern for the whole of a text.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let normal = sql::normalize(text);
        if normal.is_empty() {
            return Err(Error::input("an empty pattern; `*` matches everything"));
        }
        Ok(Self(normal.to_lowercase()))
    }

    pub(crate) fn literals(&self) -> usize {
        self.0.chars().filter(|c| !matches!(c, '*' | '?')).count()
    }

    /// Greedy with one place to come back to: time is at most pattern × text. `text` is in lower case.
    pub(crate) fn matches_lower(&self, text: &str) -> bool {
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
