//! Names in a statement, which include every table that it reads.

use std::collections::HashSet;

use super::lexer::{Lexer, Token, Unusual};
use super::normal::is_portable;

/// Names in a text, in lower case and without quotes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    /// Words and quoted names.
    pub(crate) names: HashSet<String>,
    /// The identifiers followed by an opening parenthesis.
    pub(crate) calls: HashSet<String>,
    /// Texts of the literals: `FROM 't'` names a table too.
    pub(crate) texts: HashSet<String>,
}

impl Words {
    pub(crate) fn of(sql: &str) -> Result<Self, Unusual> {
        let mut words = Self::default();
        let mut last: Option<String> = None;
        for token in Lexer::new(sql) {
            match token? {
                Token::Space(_) | Token::Comment(_) => continue,
                Token::Symbol("(") => words.calls.extend(last.take()),
                Token::Word(word) => {
                    let word = word.to_lowercase();
                    words.names.insert(word.clone());
                    last = Some(word);
                }
                Token::Quoted(word) => {
                    let word = unquote(word, '"');
                    words.names.insert(word.clone());
                    last = Some(word);
                }
                Token::Text(text) => {
                    words.texts.insert(unquote(text, '\''));
                    last = None;
                }
                Token::Number(_) | Token::Symbol(_) => last = None,
            }
        }
        Ok(words)
    }

    /// Returns `true` if one of them may be this table; `name` is in lower case.
    fn could_name(&self, name: &str) -> bool {
        self.names.contains(name) || self.texts.contains(name)
    }
}

/// Returns `true` if the text may name this table; `name` is in lower case. In a text that dialects split differently,
/// every occurrence as a separate word counts: a literal or comment in one dialect may not be one in another.
pub(crate) fn could_name(text: &str, name: &str) -> bool {
    Words::of(text).map_or(true, |words| words.could_name(name))
        || (!is_portable(text) && contains_word(&lower_case(text), &lower_case(name)))
}

/// Returns the text in lower case, with one form of sigma: `str::to_lowercase` has two, depending on the context, so
/// that a part of a text might not be found in it.
pub(crate) fn lower_case(text: &str) -> String {
    let lower = text.to_lowercase();
    match lower.is_ascii() {
        true => lower,
        false => lower.replace('ς', "σ"),
    }
}

/// Returns `true` if the text contains the name as a separate word.
pub(crate) fn contains_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + name.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
}

/// Returns a quoted name in lower case, without its quotes.
#[cfg(feature = "duckdb")]
pub(crate) fn unquoted(name: &str) -> String {
    unquote(name, '"')
}

/// Returns the last part of a name such as `main.orders` or
/// `"Orders"`, in lower case; `None` if the text is not a name.
pub(crate) fn table_name(text: &str) -> Option<String> {
    let mut name = None;
    let mut is_complete = false;
    for token in Lexer::new(text) {
        match token.ok()? {
            Token::Space(_) => {}
            Token::Symbol(".") if is_complete => is_complete = false,
            Token::Word(word) if !is_complete => {
                (name, is_complete) = (Some(word.to_lowercase()), true);
            }
            Token::Quoted(word) if !is_complete => {
                (name, is_complete) = (Some(unquote(word, '"')), true);
            }
            _ => return None,
        }
    }
    name.filter(|name| is_complete && !name.is_empty())
}

fn unquote(text: &str, quote: char) -> String {
    let inside = text
        .strip_prefix(quote)
        .and_then(|text| text.strip_suffix(quote))
        .unwrap_or(text);
    inside
        .replace(&format!("{quote}{quote}"), &quote.to_string())
        .to_lowercase()
}

/// Returns the first word in upper case: `SELECT`, `INSERT`, …; `OTHER` if there is none.
pub(crate) fn first_word(sql: &str) -> String {
    let first = Lexer::new(sql).find_map(|token| match token {
        Ok(Token::Word(word)) => Some(word.to_uppercase()),
        _ => None,
    });
    first.unwrap_or_else(|| "OTHER".to_owned())
}

/// Returns the statements of a batch, without empty ones and without comments.
#[cfg(any(feature = "duckdb", feature = "flight-sql"))]
pub(crate) fn statements(sql: &str) -> Result<Vec<String>, Unusual> {
    let mut all = Vec::new();
    let mut current = String::new();
    for token in Lexer::new(sql) {
        match token? {
            Token::Symbol(";") => all.push(std::mem::take(&mut current)),
            Token::Comment(_) => current.push(' '),
            token => current.push_str(token.text()),
        }
    }
    all.push(current);
    all.retain(|statement| !statement.trim().is_empty());
    Ok(all)
}
