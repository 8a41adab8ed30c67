//! What statements do to the data, as far as their text tells.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::sql::{self, Lexer, Token};

/// What a batch may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Rows of these tables; names in lower case, without schema.
    Tables(BTreeSet<String>),
    Everything,
}

const READS: &[&str] = &["SELECT", "WITH", "FROM", "VALUES", "TABLE"];
/// What holds for one connection only.
const SESSION: &[&str] = &[
    "SET",
    "RESET",
    "USE",
    "ATTACH",
    "DETACH",
    "PRAGMA",
    "LOAD",
    "INSTALL",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
];
/// What changes no rows.
const HARMLESS: &[&str] = &[
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "ABORT",
    "END",
    "CHECKPOINT",
    "ANALYZE",
    "VACUUM",
    "SELECT",
    "FROM",
    "VALUES",
];

/// Queries are one statement that reads. The engine is held to it as well: they run in a transaction that cannot write.
pub(super) fn refuse_writes(statement: &str) -> Result<(), Error> {
    let statements = sql::statements(statement).map_err(|_| {
        Error::input(
            "cannot tell where this statement ends: it holds a nested comment, an open literal, a NUL or a space that is not ASCII",
        )
    })?;
    let first = sql::first_word(statement);
    if statements.len() == 1 && READS.contains(&first.as_str()) {
        return Ok(());
    }
    Err(Error::input(
        "query takes one SELECT, WITH, FROM, VALUES or TABLE statement; writes go through execute_batch",
    ))
}

/// What a batch may change; an error for statements that would hold for one connection only.
pub(super) fn scope_of(batch: &str) -> Result<Scope, Error> {
    let statements = sql::statements(batch)
        .map_err(|_| Error::input("cannot tell the statements of this batch apart"))?;
    let mut tables = BTreeSet::new();
    let mut everything = false;
    for statement in statements {
        let words: Vec<_> = names(&statement);
        let first = words.first().map(String::as_str).unwrap_or_default();
        let is_temporary = words
            .iter()
            .take(4)
            .any(|word| word == "temp" || word == "temporary");
        if SESSION.contains(&first.to_uppercase().as_str()) || is_temporary {
            return Err(Error::input(format!(
                "{:?} would hold for one connection only; settings are changed by Warehouse::set",
                sql::sanitize(&statement)
            )));
        }
        if HARMLESS.contains(&first.to_uppercase().as_str()) {
            continue;
        }
        match target(&statement) {
            Some(table) => {
                tables.insert(table);
            }
            None => everything = true,
        }
    }
    Ok(if everything {
        Scope::Everything
    } else {
        Scope::Tables(tables)
    })
}

fn names(statement: &str) -> Vec<String> {
    let tokens = Lexer::new(statement).filter_map(|token| match token {
        Ok(Token::Word(word)) => Some(word.to_lowercase()),
        _ => None,
    });
    tokens.take(8).collect()
}

/// The one table whose rows this statement changes; `None` where that is not sure.
fn target(statement: &str) -> Option<String> {
    let mut tokens = Lexer::new(statement)
        .filter(|token| !matches!(token, Ok(Token::Space(_) | Token::Comment(_))));
    let mut word = || match tokens.next()?.ok()? {
        Token::Word(word) => Some(word.to_lowercase()),
        Token::Quoted(word) => Some(word.to_owned()),
        other => Some(other.text().to_owned()),
    };
    let mut name = match word()?.as_str() {
        "insert" => loop {
            match word()?.as_str() {
                "into" => break word()?,
                "or" | "replace" | "ignore" => {}
                _ => return None,
            }
        },
        "delete" => match word()?.as_str() {
            "from" => word()?,
            _ => return None,
        },
        "update" => word()?,
        _ => return None,
    };
    loop {
        match word() {
            Some(dot) if dot == "." => name = word()?,
            _ => break,
        }
    }
    let is_quoted = name.starts_with('"');
    let plain = name.trim_matches('"');
    let known = !plain.contains('"')
        && (is_quoted || plain.chars().all(|c| c.is_alphanumeric() || c == '_'));
    known.then(|| plain.to_lowercase())
}
