//! Patterns of invalidations for logs: without literals.

use std::borrow::Cow;

use crate::sql;

/// Returns the pattern for logs: a statement without its literals, a label, or letters only. In a part of a statement,
/// or one cut by a wildcard, literals cannot be recognized; it becomes `?`.
pub(super) fn shown_pattern(pattern: &str) -> Cow<'_, str> {
    const STATEMENTS: [&str; 4] = ["SELECT", "WITH", "FROM", "VALUES"];
    let is_sign = |c: char| c.is_ascii_alphabetic() || "_*?".contains(c);
    let begins = |word: &&str| {
        let begin = pattern.get(..word.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word))
            && !pattern[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    if pattern.chars().all(is_sign) {
        pattern.into()
    } else if pattern.starts_with("fn:") || STATEMENTS.iter().any(begins) && is_whole(pattern) {
        sql::shown_label(pattern)
    } else {
        "?".into()
    }
}

/// Returns `true` unless a wildcard may stand for part of a literal or for its quote. SQL itself has `SELECT * FROM`,
/// `(*)` and `?` for a parameter; for a trailing `*` see [`ends_whole`].
fn is_whole(statement: &str) -> bool {
    let before = statement.trim_end_matches('*');
    let text = before.replace("(*)", "()");
    let words: Vec<&str> = text.split_whitespace().collect();
    let is = |word: Option<&&str>, name| word.is_some_and(|word| word.eq_ignore_ascii_case(name));
    if before.len() < statement.len() && !ends_whole(&text) {
        return false;
    }
    let is_star = |at: usize| {
        words[at] == "*" && is(words[..at].last(), "SELECT") && is(words.get(at + 1), "FROM")
    };
    let is_parameter = |word: &str| {
        let mut pieces = word.split(['(', ')', ',', ';', '=']);
        pieces.all(|piece| piece == "?" || !piece.contains(['*', '?']))
    };
    (0..words.len()).all(|at| is_star(at) || is_parameter(words[at]))
}

/// Returns `true` if the text before a trailing `*` does not end within a literal: it ends with an operator,
/// punctuation, a closed quote or an SQL keyword. After FROM and JOIN it may end within a name.
fn ends_whole(text: &str) -> bool {
    const WORDS: [&str; 8] = ["SELECT", "FROM", "JOIN", "ON", "WHERE", "AND", "OR", "BY"];
    let is_even = |quote: char| text.matches(quote).count().is_multiple_of(2);
    if !is_even('\'') || !is_even('"') {
        return false;
    }
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || c == ')');
    if text.ends_with(|c: char| "?,;=<>('\"".contains(c)) {
        return true;
    }
    let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
    let is_of_name = |c: char| c.is_alphanumeric() || "_.".contains(c);
    let words: Vec<&str> = text.split_whitespace().collect();
    let (before, last) = match &*words {
        [.., distinct, from, last] if is(distinct, "DISTINCT") && is(from, "FROM") => ("", last),
        [.., before, last] => (*before, last),
        [last] => ("", last),
        [] => return true,
    };
    let is_name = (is(before, "FROM") || is(before, "JOIN")) && last.chars().all(is_of_name);
    is_name || WORDS.iter().any(|word| is(last, word))
}
