//! The lexer: normal form, sanitised form, and what may be cached. It never folds case and never looks inside literals.

/// One piece of SQL text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Space(&'a str),
    Word(&'a str),
    Number(&'a str),
    Text(&'a str),
    Quoted(&'a str),
    Comment(&'a str),
    Symbol(&'a str),
}

/// The pieces of `sql`, or `None` where the lexer will not vouch for them.
pub(crate) fn tokens(sql: &str) -> Option<Vec<Token<'_>>> {
    let mut rest = sql;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        if first == '\0' || (first.is_whitespace() && !first.is_ascii()) {
            return None;
        }
        let (token, length) = next(rest, first)?;
        tokens.push(token(&rest[..length]));
        rest = &rest[length..];
    }
    Some(tokens)
}

type Make<'a> = fn(&'a str) -> Token<'a>;

fn next<'a>(rest: &'a str, first: char) -> Option<(Make<'a>, usize)> {
    let run = |accept: fn(char) -> bool| rest.find(|c: char| !accept(c)).unwrap_or(rest.len());
    if first.is_ascii_whitespace() || first == '\u{b}' {
        return Some((
            Token::Space,
            run(|c| c.is_ascii_whitespace() || c == '\u{b}'),
        ));
    }
    if rest.starts_with("--") {
        return Some((Token::Comment, rest.find('\n').unwrap_or(rest.len())));
    }
    if let Some(comment) = rest.strip_prefix("/*") {
        let end = comment.find("*/")? + 4;
        return (!rest[2..end - 2].contains("/*")).then_some((Token::Comment, end));
    }
    if first == '\'' || first == '"' {
        let make: Make<'a> = if first == '"' {
            Token::Quoted
        } else {
            Token::Text
        };
        return Some((make, quoted(rest, first)?));
    }
    if (first == 'e' || first == 'E') && rest[1..].starts_with('\'') {
        return Some((Token::Text, escaped(rest)?));
    }
    if first == '$' {
        return dollar(rest);
    }
    if first.is_ascii_digit() {
        return Some((
            Token::Number,
            run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'),
        ));
    }
    if first.is_alphabetic() || first == '_' || !first.is_ascii() {
        return Some((
            Token::Word,
            run(|c| {
                c.is_alphanumeric() || c == '_' || c == '$' || (!c.is_ascii() && !c.is_whitespace())
            }),
        ));
    }
    Some((Token::Symbol, first.len_utf8()))
}

/// Length of a quoted run whose quote is doubled to stand for itself.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += rest.get(at..)?.find(quote)? + 1;
        if !rest[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// Length of `E'…'`, where a backslash escapes.
fn escaped(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 2;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// `$tag$…$tag$`, or the `$` of a parameter.
fn dollar(rest: &str) -> Option<(Make<'_>, usize)> {
    let tag = rest[1..]
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map(|end| end + 1);
    match tag {
        Some(end) if rest[end..].starts_with('$') => {
            let mark = &rest[..=end];
            let close = rest[mark.len()..].find(mark)?;
            Some((Token::Text, mark.len() * 2 + close))
        }
        _ => Some((Token::Symbol, 1)),
    }
}

/// Whitespace between tokens becomes one space (one newline after a comment or between literals), one trailing `;` goes.
pub(crate) fn normalize(sql: &str) -> String {
    let Some(tokens) = tokens(sql) else {
        return sql.trim().to_owned();
    };
    let mut normal = String::with_capacity(sql.len());
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Space(space) => {
                let after = at.checked_sub(1).map(|before| tokens[before]);
                let keeps = matches!(after, Some(Token::Comment(_) | Token::Text(_)));
                normal.push(if keeps && space.contains('\n') {
                    '\n'
                } else {
                    ' '
                });
            }
            Token::Word(text)
            | Token::Number(text)
            | Token::Text(text)
            | Token::Quoted(text)
            | Token::Comment(text)
            | Token::Symbol(text) => {
                normal.push_str(text);
            }
        }
    }
    if tokens
        .iter()
        .any(|token| matches!(token, Token::Comment(_)))
    {
        return normal.trim().to_owned();
    }
    let trimmed = normal.trim();
    trimmed
        .strip_suffix(';')
        .unwrap_or(trimmed)
        .trim_end()
        .to_owned()
}

/// The statement with every literal and comment taken out: fit for logs and spans.
///
/// ```
/// assert_eq!(data_cache::sanitize("SELECT a FROM t WHERE b = 'x'  AND c = 5"), "SELECT a FROM t WHERE b = ? AND c = ?");
/// ```
pub fn sanitize(sql: &str) -> String {
    let Some(tokens) = tokens(sql) else {
        return "?".to_owned();
    };
    let mut clean = String::with_capacity(sql.len());
    for token in tokens {
        match token {
            Token::Space(_) | Token::Comment(_) if clean.ends_with(' ') => {}
            Token::Space(_) | Token::Comment(_) => clean.push(' '),
            Token::Text(_) | Token::Number(_) => clean.push('?'),
            Token::Word(text) | Token::Quoted(text) | Token::Symbol(text) => clean.push_str(text),
        }
    }
    clean.trim().to_owned()
}

/// The words of a statement, lower case, without quotes.
#[cfg(feature = "duckdb")]
pub(crate) fn words(sql: &str) -> Option<Vec<String>> {
    Some(
        tokens(sql)?
            .into_iter()
            .filter_map(|token| match token {
                Token::Word(word) => Some(word.to_lowercase()),
                Token::Quoted(word) => Some(word.trim_matches('"').to_lowercase()),
                _ => None,
            })
            .collect(),
    )
}

/// The first word, upper case: `SELECT`, `INSERT`, …
#[cfg(feature = "duckdb")]
pub(crate) fn first_word(sql: &str) -> String {
    let first = tokens(sql).and_then(|tokens| {
        tokens.into_iter().find_map(|token| match token {
            Token::Word(word) => Some(word.to_uppercase()),
            _ => None,
        })
    });
    first.unwrap_or_else(|| "OTHER".to_owned())
}

/// The statements of a batch, without empty ones.
#[cfg(feature = "duckdb")]
pub(crate) fn statements(sql: &str) -> Option<Vec<String>> {
    let mut all = vec![String::new()];
    for token in tokens(sql)? {
        match (token, all.last_mut()) {
            (Token::Symbol(";"), _) => all.push(String::new()),
            (Token::Comment(_), Some(last)) => last.push(' '),
            (
                Token::Space(text)
                | Token::Word(text)
                | Token::Number(text)
                | Token::Text(text)
                | Token::Quoted(text)
                | Token::Symbol(text),
                Some(last),
            ) => last.push_str(text),
            (_, None) => {}
        }
    }
    all.retain(|statement| !statement.trim().is_empty());
    Some(all)
}
