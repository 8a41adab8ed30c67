//! Effects of statements on the data, as far as their text shows.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::sql::{self, Lexer, Token};

/// Tables that a batch may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Rows of these tables; lower-case names without schema.
    Tables(BTreeSet<String>),
    Everything,
}

/// Effects of a batch.
#[derive(Debug)]
pub(super) struct Effects {
    pub(super) scope: Scope,
    pub(super) defines: bool,
}

/// First words of statements that read.
const READS: &[&str] = &[
    "SELECT",
    "WITH",
    "FROM",
    "VALUES",
    "TABLE",
    "PIVOT",
    "UNPIVOT",
    "DESCRIBE",
    "DESC",
    "SHOW",
    "SUMMARIZE",
    "EXPLAIN",
];
/// First words of statements that affect one connection only.
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
/// First words of statements that change no rows.
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

/// First words of statements that change rows, and no definition of a table, view or function.
const CHANGES_ROWS: &[&str] = &["INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE"];
/// Words between CREATE and the kind of object.
const CREATE_OPTIONS: &[&str] = &[
    "or",
    "replace",
    "global",
    "local",
    "temp",
    "temporary",
    "persistent",
    "unlogged",
    "recursive",
    "unique",
];
/// Words of statements that write: after its first word, a statement with one of them may write more than its target.
const WRITES: &[&str] = &[
    "insert", "update", "delete", "merge", "truncate", "create", "drop", "alter", "copy", "attach",
];

/// Fails unless the text is one statement that reads. The engine enforces that too, since queries run in a read-only
/// transaction. A text that the lexer cannot separate is left to the engine's parser.
pub(super) fn refuse_writes(statement: &str) -> Result<(), Error> {
    let is_one = sql::statements(statement).map_or(true, |statements| statements.len() == 1);
    let first = sql::first_word(statement);
    let is_read = READS.contains(&first.as_str())
        && !(first == "EXPLAIN" && runs_for_one_connection(statement));
    if is_one && is_read {
        return Ok(());
    }
    Err(Error::input(
        "query accepts one statement that reads (SELECT, WITH, FROM, VALUES, TABLE, PIVOT, UNPIVOT, DESCRIBE, SHOW, SUMMARIZE, \
         and EXPLAIN of one); use execute_batch for writes and Warehouse::set for settings",
    ))
}

/// Returns `true` for an EXPLAIN that runs anything other than a query or a write: a read-only transaction accepts
/// settings, temporary tables and its own end, each of which affects one connection.
fn runs_for_one_connection(explain: &str) -> bool {
    let tokens = meaningful(explain);
    let is_one_of =
        |token: &Token<'_>, known: &[&str]| known.iter().any(|word| is_word(Some(token), word));
    let is_analyze = |token: &Token<'_>| match token {
        // the name of an option may be quoted
        Token::Quoted(name) => name.to_ascii_lowercase().contains("analy"),
        _ => is_one_of(token, &["analyze", "analyse"]),
    };
    let before = tokens
        .iter()
        .position(|token| is_word(Some(token), "explain"));
    let behind = before
        .and_then(|at| tokens.get(at + 1..))
        .unwrap_or_default();
    let mut words = behind.iter().copied().peekable();
    let mut is_run = false;
    while let Some(token) = words.next() {
        match token {
            Token::Word(_) if is_analyze(&token) => is_run = true,
            Token::Word(_) if is_one_of(&token, &["verbose"]) => {}
            // a query in parentheses
            Token::Symbol("(") if words.peek().is_some_and(begins_query) => return false,
            Token::Symbol("(") => {
                let options = words
                    .by_ref()
                    .take_while(|token| *token != Token::Symbol(")"));
                let options: Vec<_> = options.collect();
                is_run |= options.iter().any(is_analyze);
            }
            token => {
                return is_run && !is_one_of(&token, READS) && !is_one_of(&token, CHANGES_ROWS);
            }
        }
    }
    false
}

/// Returns `true` for the first token of a query in parentheses; any other token begins the options of EXPLAIN.
fn begins_query(token: &Token<'_>) -> bool {
    *token == Token::Symbol("(") || READS.iter().any(|word| is_word(Some(token), word))
}

/// Returns the tables that a batch may change, as far as its text
/// shows; fails for statements that would affect one connection only.
pub(super) fn effects_of(batch: &str) -> Result<Effects, Error> {
    let statements = sql::statements(batch)
        .map_err(|_| Error::input("cannot determine where the statements of this batch end"))?;
    let mut tables = BTreeSet::new();
    let (mut everything, mut defines) = (false, false);
    for statement in statements {
        let words = meaningful(&statement);
        let first = match words.first() {
            Some(Token::Word(word)) => word.to_uppercase(),
            _ => String::new(),
        };
        if SESSION.contains(&first.as_str()) || makes_temporary(&words) {
            return Err(connection_only(&statement));
        }
        if HARMLESS.contains(&first.as_str()) {
            continue;
        }
        defines |= !CHANGES_ROWS.contains(&first.as_str());
        match target(&words) {
            Some(table) => {
                tables.insert(table);
            }
            None => everything = true,
        }
    }
    let scope = if everything {
        Scope::Everything
    } else {
        Scope::Tables(tables)
    };
    Ok(Effects { scope, defines })
}

pub(super) fn connection_only(statement: &str) -> Error {
    Error::input(format!(
        "{:?} would affect only one connection; change settings with Warehouse::set",
        sql::sanitize(statement)
    ))
}

/// Returns the tokens other than whitespace and comments.
fn meaningful(statement: &str) -> Vec<Token<'_>> {
    let tokens = Lexer::new(statement).filter_map(Result::ok);
    tokens
        .filter(|token| !matches!(token, Token::Space(_) | Token::Comment(_)))
        .collect()
}

fn is_word(token: Option<&Token<'_>>, word: &str) -> bool {
    matches!(token, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
}

fn makes_temporary(tokens: &[Token<'_>]) -> bool {
    let Some((first, rest)) = tokens.split_first() else {
        return false;
    };
    let is_option = |token: &&Token<'_>| {
        CREATE_OPTIONS
            .iter()
            .any(|option| is_word(Some(*token), option))
    };
    is_word(Some(first), "create")
        && rest.iter().take_while(is_option).any(|token| {
            ["temp", "temporary", "local"]
                .iter()
                .any(|word| is_word(Some(token), word))
        })
}

/// Returns the one table whose rows this statement changes, if its text proves it: one of the forms below, up to the
/// word that follows the name, and no word of another write after it. The catalog decides if the name is a table.
fn target(tokens: &[Token<'_>]) -> Option<String> {
    let (first, rest) = tokens.split_first()?;
    let is_write = |token: &Token<'_>| WRITES.iter().any(|word| is_word(Some(token), word));
    if rest.iter().any(is_write) {
        return None;
    }
    let after = |words: &[&str]| {
        let mut rest = rest;
        for word in words {
            let (token, more) = rest.split_first()?;
            rest = is_word(Some(token), word).then_some(more)?;
        }
        Some(rest)
    };
    let (rest, followers): (&[Token<'_>], &[&str]) = if is_word(Some(first), "insert") {
        let forms: [&[&str]; 3] = [
            &["into"],
            &["or", "replace", "into"],
            &["or", "ignore", "into"],
        ];
        let rest = forms.into_iter().find_map(after)?;
        (
            rest,
            &[
                "(", "values", "select", "from", "with", "by", "default", "table",
            ],
        )
    } else if is_word(Some(first), "delete") {
        (after(&["from"])?, &["where", "using", "returning"])
    } else if is_word(Some(first), "update") {
        (rest, &["set"])
    } else {
        return None;
    };
    let (name, follower) = qualified_name(rest)?;
    let is_known = match follower {
        None => is_word(Some(first), "delete"),
        Some(token) => followers
            .iter()
            .any(|word| token.text().eq_ignore_ascii_case(word)),
    };
    is_known.then_some(name)
}

/// Returns the last part of a name, in lower case, and the token after it.
fn qualified_name<'t, 's>(mut tokens: &'t [Token<'s>]) -> Option<(String, Option<&'t Token<'s>>)> {
    loop {
        let (part, rest) = tokens.split_first()?;
        let name = match part {
            Token::Word(word) => word.to_lowercase(),
            Token::Quoted(quoted) => sql::unquoted(quoted),
            _ => return None,
        };
        match rest.split_first() {
            Some((Token::Symbol("."), more)) => tokens = more,
            _ => return Some((name, rest.first())),
        }
    }
}
