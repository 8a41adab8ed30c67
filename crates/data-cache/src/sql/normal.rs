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
                let has_break = space.contains(['\n', '\r']);
                break_after_literal = has_break && matches!(before, Token::Text(_));
                let ends_comment = matches!(before, Token::Comment(text) if text.starts_with("--"));
                let keeps = has_break && (break_after_literal || ends_comment);
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

/// Marks that some dialect reads as the start of a literal, a name or a comment, and another one does not.
const UNPORTABLE: &[&str] = &["\\", "`", "#", "[", "{", "//", "/*!", "'''", "\"\"\"", "$$"];

/// Returns `true` if every common dialect cuts the text into the same tokens.
fn is_portable(sql: &str) -> bool {
    let mut line_comments = sql
        .match_indices("--")
        .map(|(at, _)| sql[at + 2..].chars().next());
    let has_block_in_block = sql.match_indices("/*").count() != sql.match_indices("*/").count();
    !has_block_in_block
        && !UNPORTABLE.iter().any(|mark| sql.contains(mark))
        && line_comments.all(|next| next.is_none_or(|c| c.is_ascii_whitespace()))
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
