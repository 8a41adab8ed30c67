//! Normal form of a statement, the same for all spellings that the engine cannot distinguish, and its form for logs.

use std::borrow::Cow;

use super::lexer::{Kind, Lexer, Token, Unusual};

/// SQL dialect of a text; it determines which whitespace is insignificant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Unknown. Whitespace is normalized in texts that all common
    /// dialects read alike; any other text is left unchanged.
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

/// Normalizes a statement. Runs of whitespace between tokens become one space, or one line break where it is
/// significant: after a line comment, and between two literals. Trailing semicolons are removed. Case, comments,
/// literals and quoted names are kept. A text that the lexer cannot read with certainty is left unchanged, including
/// trailing spaces: the engine reads a space beyond ASCII differently at the end of a text and before another space.
pub(crate) fn normalize(sql: &str, dialect: Dialect) -> Cow<'_, str> {
    normal_form(sql, dialect).unwrap_or(Cow::Borrowed(sql))
}

/// Returns the normal form: a slice of the text if only its ends change.
/// Otherwise pieces between changed spaces are copied unchanged.
fn normal_form(sql: &str, dialect: Dialect) -> Result<Cow<'_, str>, Unusual> {
    if dialect == Dialect::Unknown && !is_portable(sql) {
        return Err(Unusual);
    }
    let mut normal = String::new();
    // start of the piece that is not copied yet; spaces and semicolons before the first one are dropped
    let mut from = None;
    // length of the normal form, without trailing spaces and semicolons
    let mut length = 0;
    let mut before = Kind::Symbol;
    // start of the space before this token, and the kind of the token before that space
    let mut gap = None;
    let mut lexer = Lexer::new(sql);
    loop {
        let start = lexer.at();
        let Some(kind) = lexer.step() else { break };
        let kind = kind?;
        let first = sql.as_bytes()[start];
        let is_semicolon = first == b';' && kind == Kind::Symbol;
        if kind == Kind::Space {
            gap = Some((start, before));
        } else if !is_semicolon || from.is_some() {
            if kind == Kind::Text
                && dialect == Dialect::Unknown
                && (may_prefix(before) || first != b'\'')
            {
                return Err(Unusual);
            }
            if let (Some(piece), Some((end, left))) = (from, gap) {
                let (space, one) = (&sql[end..start], one_space(left, &sql[end..start], kind));
                if space != one {
                    if normal.is_empty() {
                        normal.reserve(sql.len());
                    }
                    normal.push_str(&sql[piece..end]);
                    normal.push_str(one);
                    from = Some(start);
                }
            }
            gap = None;
            let piece = *from.get_or_insert(start);
            if !is_semicolon {
                length = normal.len() + lexer.at() - piece;
            }
        }
        before = kind;
    }
    let rest = &sql[from.unwrap_or(sql.len())..];
    if normal.is_empty() {
        return Ok(Cow::Borrowed(&rest[..length]));
    }
    match length.checked_sub(normal.len()) {
        Some(length) => normal.push_str(&rest[..length]),
        None => normal.truncate(length),
    }
    Ok(Cow::Owned(normal))
}

/// Returns `true` if a literal directly after this token is read together with it.
fn may_prefix(kind: Kind) -> bool {
    matches!(kind, Kind::Word | Kind::Number | Kind::Text)
}

/// Returns the replacement of a run of spaces between two tokens:
/// a line break if it ends a comment or joins two literals.
fn one_space(left: Kind, space: &str, right: Kind) -> &'static str {
    let may_break = left == Kind::Line || (left == Kind::Text && right == Kind::Text);
    match may_break && space.contains(['\n', '\r']) {
        true => "\n",
        false => " ",
    }
}

/// Bytes that may make a text non-portable.
const MARKS: [bool; 256] = {
    let mut marks = [false; 256];
    let mut rest: &[u8] = b"\\`#[{/*-'\"$\r";
    while let [mark, after @ ..] = rest {
        marks[*mark as usize] = true;
        rest = after;
    }
    marks
};

/// Returns `true` if all common dialects split the text into the same tokens: it contains no mark that begins a
/// literal, a name or a comment in some dialects only. One pass, since every lookup by text pays for it.
pub(super) fn is_portable(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    let (mut opened, mut closed) = (0_usize, 0_usize);
    let mut may_be_in_line = false;
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
            b'-' if next() == Some(b'-') => {
                may_be_in_line = true;
                after_next().is_none_or(|b| b.is_ascii_whitespace())
            }
            // in some dialects a line comment continues after it
            b'\r' => !may_be_in_line || next() == Some(b'\n'),
            b'\'' | b'"' => next() != Some(*byte) || after_next() != Some(*byte),
            b'$' => next() != Some(b'$'),
            _ => true,
        };
        if !is_portable {
            return false;
        }
    }
    // the end of a nested block comment depends on the dialect
    opened == closed
}

/// Replaces literals by `?` and removes comments, for logs and
/// spans. The statement is read as in DuckDB and standard SQL.
///
/// ```
/// let clean = data_cache::sanitize("SELECT a FROM t WHERE b = 'x'  AND c = 5 -- note");
/// assert_eq!(clean, "SELECT a FROM t WHERE b = ? AND c = ?");
/// ```
pub fn sanitize(sql: &str) -> String {
    sanitize_as(sql, Dialect::DuckDb)
}

/// [`sanitize`] for a dialect. In an unknown one, a text whose literals may end
/// elsewhere becomes `?`, and so does text in double quotes unless it is a name.
pub(crate) fn sanitize_as(sql: &str, dialect: Dialect) -> String {
    let is_known = dialect == Dialect::DuckDb;
    if !is_known && sql.contains(['\\', '`', '#']) {
        return "?".to_owned();
    }
    let may_be_text = |quoted: &str| {
        let is_of_name = |char: char| char.is_alphanumeric() || char == '_';
        !is_known && !quoted.trim_matches('"').chars().all(is_of_name)
    };
    let mut clean = String::with_capacity(sql.len());
    for token in Lexer::new(sql) {
        match token {
            Err(Unusual) => return "?".to_owned(),
            Ok(Token::Space(_) | Token::Comment(_)) if clean.ends_with(' ') => {}
            Ok(Token::Space(_) | Token::Comment(_)) => clean.push(' '),
            Ok(Token::Text(_) | Token::Number(_)) => clean.push('?'),
            Ok(Token::Quoted(text)) if may_be_text(text) => clean.push('?'),
            Ok(Token::Word(text) | Token::Quoted(text) | Token::Symbol(text)) => {
                clean.push_str(text)
            }
        }
    }
    clean.trim().to_owned()
}

/// Returns the label of an entry for logs and pages: `fn:module::name`,
/// or the sanitized statement, whose dialect is not recorded.
pub(crate) fn shown_label(label: &str) -> Cow<'_, str> {
    match label.starts_with("fn:") {
        true => label.into(),
        false => sanitize_as(label, Dialect::Unknown).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_an_unknown_dialect_shows_nothing_that_may_be_a_literal() {
        for (sql, expected) in [
            (r"SELECT a FROM t WHERE n = 'it\'s Bob'", "?"),
            ("SELECT `a` FROM t", "?"),
            ("SELECT 1 # Bob", "?"),
            (
                r#"SELECT "a_1" FROM t WHERE mail = "b@c.d""#,
                r#"SELECT "a_1" FROM t WHERE mail = ?"#,
            ),
            (
                "SELECT a FROM t WHERE b = 'x'",
                "SELECT a FROM t WHERE b = ?",
            ),
        ] {
            assert_eq!(sanitize_as(sql, Dialect::Unknown), expected);
        }
        let known = r#"SELECT "my col" FROM t"#;
        assert_eq!(sanitize(known), known);
    }
}
