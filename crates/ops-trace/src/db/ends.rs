//! Ends of comments, texts and numbers in a statement.

use super::dialect::{Backslash, Dialect};

/// Returns the number of digits at the start of the text; 0 if there are more than a parameter has.
pub(super) fn digits(text: &str) -> usize {
    const MAX_DIGITS: usize = 5;
    let end = text.find(|c: char| !c.is_ascii_digit());
    Some(end.unwrap_or(text.len()))
        .filter(|end| *end <= MAX_DIGITS)
        .unwrap_or(0)
}

/// Returns the end of `q'[..]'` or `nq'[..]'` with any delimiter;
/// `None` for another text. An unterminated one extends to the end.
pub(super) fn delimited(text: &str) -> Option<usize> {
    let after = text.strip_prefix(['n', 'N']).unwrap_or(text);
    let after = after.strip_prefix(['q', 'Q'])?.strip_prefix('\'')?;
    let open = after.chars().next()?;
    let close = match open {
        '[' => ']',
        '(' => ')',
        '{' => '}',
        '<' => '>',
        other => other,
    };
    let start = text.len() - after.len() + open.len_utf8();
    let rest = text.get(start..)?;
    let mut ends = rest.match_indices(close).map(|(at, end)| at + end.len());
    let end = ends.find(|end| rest.get(*end..).is_some_and(|rest| rest.starts_with('\'')));
    Some(end.map_or(text.len(), |end| start + end + 1))
}

/// Returns the end of a text by the rules of a system. If these are
/// unknown and the text may end in two places, it extends to the end.
pub(super) fn literal(text: &str, quote: char, dialect: Dialect) -> usize {
    let three = if quote == '"' { "\"\"\"" } else { "'''" };
    let may_be_three = matches!(
        dialect,
        Dialect::Google | Dialect::Spanner | Dialect::Unknown
    );
    if !may_be_three || !text.starts_with(three) {
        return quoted(text, quote, dialect.backslash());
    }
    let end = in_three(text, three);
    if dialect == Dialect::Google || end == quoted(text, quote, dialect.backslash()) {
        return end;
    }
    text.len()
}

/// Returns the end of a text in three quotes.
fn in_three(text: &str, three: &str) -> usize {
    let mut chars = text.char_indices().skip(three.len());
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if text[at..].starts_with(three) {
            return at + three.len();
        }
    }
    text.len()
}

/// Returns the end of a quoted text; a doubled quote is part of it.
pub(super) fn quoted(text: &str, quote: char, backslash: Backslash) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && !matches!(backslash, Backslash::IsText) {
            let escaped = chars.next();
            let is_quote = escaped.is_some_and(|(_, escaped)| escaped == quote);
            if is_quote && matches!(backslash, Backslash::Unknown) {
                break;
            }
        } else if c == quote {
            if chars.peek().is_none_or(|(_, next)| *next != quote) {
                return at + c.len_utf8();
            }
            chars.next();
        }
    }
    text.len()
}

/// Returns the end of `$tag$ .. $tag$`; `None` for a parameter such as `$1`.
pub(super) fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[..tag_end];
    let name = &tag[1..tag_end - 1];
    let is_tag = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| {
        text[tag_end..]
            .find(tag)
            .map_or(text.len(), |at| tag_end + at + tag.len())
    })
}

/// Returns the end of a number: digits, point, exponent with its sign, hexadecimal digits, separators.
pub(super) fn number(text: &str) -> usize {
    let mut before = ' ';
    let end = text.char_indices().find(|(_, c)| {
        let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !text.starts_with("0x");
        before = *c;
        !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || sign)
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// Returns the end of the line.
pub(super) fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Returns the end of a comment. If it is unknown whether comments nest, one that contains another extends to the end.
pub(super) fn comment(text: &str, nests: Option<bool>) -> usize {
    let inner = text.get(2..).unwrap_or_default();
    let end = inner.find("*/").map_or(text.len(), |at| at + 4);
    match nests {
        Some(true) => nested_comment(text),
        None if text[2..end].contains("/*") => text.len(),
        _ => end,
    }
}

fn nested_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}
