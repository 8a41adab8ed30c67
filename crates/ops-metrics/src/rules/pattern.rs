use crate::error::Error;

/// Label values in the form of a Prometheus matcher, from which examples can be generated: values separated by `|`,
/// with `.` for any character, `.*` for any text and `.+` for any text except the empty one.
#[derive(Debug)]
pub(super) struct Pattern {
    alternatives: Vec<Vec<Piece>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    Char(char),
    AnyChar,
    /// Text of at least this number of characters.
    AnyText(usize),
}

/// Characters with another meaning in regular expressions, and those that end the string in a query.
const REFUSED: &str = "\\^$()[]?+*\"\n";

impl Pattern {
    /// # Errors
    ///
    /// [`Error::Slo`] for other regular expressions.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let alternatives = text.split('|').map(pieces).collect::<Option<Vec<_>>>();
        match alternatives {
            Some(all) if all.iter().all(|pieces| !pieces.is_empty()) => {
                Ok(Self { alternatives: all })
            }
            _ => Err(Error::Slo(format!(
                "{text:?} is not a valid pattern of label values; expected values separated by |, with . for a character, .* and .+ for text"
            ))),
        }
    }

    /// Returns a value for each alternative.
    pub(super) fn examples(&self) -> Vec<String> {
        let example = |pieces: &Vec<Piece>| {
            let chars = pieces.iter().map(|piece| match piece {
                Piece::Char(char) => *char,
                Piece::AnyChar => '0',
                Piece::AnyText(_) => 'x',
            });
            chars.collect()
        };
        self.alternatives.iter().map(example).collect()
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut alternatives = self.alternatives.iter();
        alternatives.any(|pieces| fits(pieces, &text))
    }
}

fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let next = chars.peek().copied();
        pieces.push(match (char, next) {
            ('.', Some('*')) => Piece::AnyText(0),
            ('.', Some('+')) => Piece::AnyText(1),
            ('.', _) => Piece::AnyChar,
            // `{2}` repeats the character before it, `{id}` is literal text
            ('{', Some('0'..='9' | ',')) => return None,
            _ if REFUSED.contains(char) => return None,
            _ => Piece::Char(char),
        });
        if matches!(pieces.last(), Some(Piece::AnyText(_))) {
            chars.next();
        }
    }
    Some(pieces)
}

fn fits(pieces: &[Piece], text: &[char]) -> bool {
    let Some((piece, pieces)) = pieces.split_first() else {
        return text.is_empty();
    };
    match piece {
        Piece::Char(char) => text
            .split_first()
            .is_some_and(|(first, rest)| first == char && fits(pieces, rest)),
        Piece::AnyChar => text
            .split_first()
            .is_some_and(|(_, rest)| fits(pieces, rest)),
        Piece::AnyText(min) => {
            (*min..=text.len()).any(|at| text.get(at..).is_some_and(|rest| fits(pieces, rest)))
        }
    }
}
