//! One text for all spellings that the engine cannot tell apart, and one that is fit for logs.

use std::borrow::Cow;

use super::lexer::{Lexer, Token, Unusual};

/// The language of a text: it says which spaces mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Not known. Spaces are taken out of texts that every common dialect reads alike; any other text is taken as it is.
    #[default]
    Unknown,
    /// DuckDB.
    DuckDb,
}

impl Dialect {
    pub(crate) fn tag(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::DuckDb => 1,
        }
    }
}

/// Runs of whitespace between tokens become one space, or one line break where that means something: after a line
/// comment, and between two literals. Semicolons at the end go. Case, comments, literals and quoted names stay.
/// A text that the lexer will not vouch for stays as it is, to the last space: the engine reads a space beyond ASCII at
/// the end of a text otherwise than before another space.
pub(crate) fn normalize(sql: &str, dialect: Dialect) -> Cow<'_, str> {
    match normal_form(sql, dialect) {
        Ok(normal) => Cow::Owned(normal),
        Err(Unusual) => Cow::Borrowed(sql),
    }
}

fn normal_form(sql: &str, dialect: Dialect) -> Result<String, Unusual> {
    if dialect == Dialect::Unknown && !is_portable(sql) {
        return Err(Unusual);
    }
    let mut normal = String::with_capacity(sql.len());
    let mut before = Token::Symbol("");
    // where the text without its last semicolons ends
    let mut end = 0;
    // the line break behind a literal means something if another literal follows
    let mut break_after_literal = false;
    for token in Lexer::new(sql) {
        let token = token?;
        if break_after_literal && !matches!(token, Token::Text(_)) {
            normal.pop();
            normal.push(' ');
        }
        break_after_literal = false;
        match token {
            Token::Space(space) => {
                let is_after_literal = matches!(before, Token::Text(_));
                let ends_comment = matches!(before, Token::Comment(text) if text.starts_with("--"));
                let may_keep = is_after_literal || ends_comment;
                let keeps = may_keep && space.contains(['\n', '\r']);
                break_after_literal = keeps && is_after_literal;
                normal.push(if keeps { '\n' } else { ' ' });
            }
            Token::Text(text) if dialect == Dialect::Unknown => {
                let is_prefixed =
                    matches!(before, Token::Word(_) | Token::Number(_) | Token::Text(_));
                if is_prefixed || !text.starts_with('\'') {
                    return Err(Unusual);
                }
                normal.push_str(text);
            }
            _ => normal.push_str(token.text()),
        }
        if !matches!(token, Token::Space(_) | Token::Symbol(";")) {
            end = normal.len();
        }
        before = token;
    }
    normal.truncate(end);
    if normal.starts_with([' ', ';']) {
        let start = normal.len() - normal.trim_start_matches([' ', ';']).len();
        normal.drain(..start);
    }
    Ok(normal)
}

/// Bytes at which a text may stop to be portable.
const MARKS: [bool; 256] = {
    let mut marks = [false; 256];
    let mut rest: &[u8] = b"\\`#[{/*-'\"$";
    while let [mark, after @ ..] = rest {
        marks[*mark as usize] = true;
        rest = after;
    }
    marks
};

/// Returns `true` if every common dialect cuts the text into the same tokens: it holds no mark that some dialect reads as
/// the start of a literal, a name or a comment, and another one does not. One pass, since every lookup by text pays for it.
fn is_portable(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    let (mut opened, mut closed) = (0_usize, 0_usize);
    for (at, byte) in bytes.iter().enumerate() {
        if !MARKS[usize::from(*byte)] {
            continue;
        }
        let next = || bytes.get(at + 1).copied();
        let after_next = || bytes.get(at + 2).copied();
        let is_portable = match byte {
            b'\\' | b'`' | b'#' | b'[' | b'{' => false,
            b'/' if next() == Some(b'*') => {
                opened += 1;
                after_next() != Some(b'!')
            }
            b'/' => next() != Some(b'/'),
            b'*' => {
                closed += usize::from(next() == Some(b'/'));
                true
            }
            b'-' if next() == Some(b'-') => after_next().is_none_or(|b| b.is_ascii_whitespace()),
            b'\'' | b'"' => next() != Some(*byte) || after_next() != Some(*byte),
            b'$' => next() != Some(b'$'),
            _ => true,
        };
        if !is_portable {
            return false;
        }
    }
    // a block in a block ends where the dialect says
    opened == closed
}

/// The statement with every literal and comment taken out: fit for logs and spans.
///
/// ```
/// let clean = data_cache::sanitize("SELECT a FROM t WHERE b = 'x'  AND c = 5 -- note");
/// assert_eq!(clean, "SELECT a FROM t WHERE b = ? AND c = ?");
/// ```
pub fn sanitize(sql: &str) -> String {
    let mut clean = String::with_capacity(sql.len());
    for token in Lexer::new(sql) {
        match token {
            Err(Unusual) => return "?".to_owned(),
            Ok(Token::Space(_) | Token::Comment(_)) if clean.ends_with(' ') => {}
            Ok(Token::Space(_) | Token::Comment(_)) => clean.push(' '),
            Ok(Token::Text(_) | Token::Number(_)) => clean.push('?'),
            Ok(Token::Word(text) | Token::Quoted(text) | Token::Symbol(text)) => {
                clean.push_str(text)
            }
        }
    }
    clean.trim().to_owned()
}
