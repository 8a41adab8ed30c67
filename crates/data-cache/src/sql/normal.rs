//! One text for all spellings that the engine cannot tell apart, and one that is fit for logs.

use std::borrow::Cow;

use super::lexer::{Lexer, Token, Unusual};

/// Runs of whitespace between tokens become one space, or one line break where that could mean something: after a
/// comment and between literals. Semicolons at the end go. Case, comments, literals and quoted names stay.
/// A text that the lexer will not vouch for stays as it is, to the last space: the engine reads a space beyond ASCII at
/// the end of a text otherwise than before another space.
pub(crate) fn normalize(sql: &str) -> Cow<'_, str> {
    match normal_form(sql) {
        Ok(normal) => Cow::Owned(normal),
        Err(Unusual) => Cow::Borrowed(sql),
    }
}

fn normal_form(sql: &str) -> Result<String, Unusual> {
    let mut normal = String::with_capacity(sql.len());
    let mut before = Token::Symbol("");
    // where the text without its last semicolons ends
    let mut end = 0;
    for token in Lexer::new(sql) {
        let token = token?;
        match token {
            Token::Space(space) => {
                let keeps = matches!(before, Token::Comment(_) | Token::Text(_));
                normal.push(match () {
                    () if keeps && space.contains('\n') => '\n',
                    () if keeps && space.contains('\r') => '\r',
                    () => ' ',
                });
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
