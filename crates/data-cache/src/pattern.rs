//! Patterns over SQL text: `*` is any run, `?` one character, everything else itself; case does not matter.

use crate::error::Error;
use crate::sql;

pub(crate) struct Pattern(Vec<char>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let normal = sql::normalize(text);
        if normal.is_empty() {
            return Err(Error::input("an empty pattern; `*` matches everything"));
        }
        Ok(Self(normal.to_lowercase().chars().collect()))
    }

    pub(crate) fn literals(&self) -> usize {
        self.0.iter().filter(|c| !matches!(c, '*' | '?')).count()
    }

    /// Greedy with one backtrack position: time is at most pattern × text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.to_lowercase().chars().collect();
        let (mut p, mut t, mut star) = (0, 0, None);
        while t < text.len() {
            match self.0.get(p) {
                Some('*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(c) if *c == '?' || *c == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => match star {
                    Some((at, from)) => {
                        star = Some((at, from + 1));
                        p = at + 1;
                        t = from + 1;
                    }
                    None => return false,
                },
            }
        }
        self.0[p..].iter().all(|c| *c == '*')
    }
}
