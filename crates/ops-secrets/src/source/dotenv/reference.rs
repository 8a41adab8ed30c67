//! References: `${NAME}` with a default or a replacement.

/// Maximum length of a reference; a longer one is taken as text.
const MAX_BYTES: usize = 4096;

const UNCLOSED: &str = "`${` without a closing `}` within 4096 bytes: kept as literal text";
const UNKNOWN: &str = "unsupported reference, kept as literal text; expected ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:+word} or ${NAME+word}";

/// One reference. An empty variable counts as unset, so `:-` and `-` are the same, and so are `:+` and `+`.
#[derive(Debug, PartialEq)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    pub(super) word: Word<'a>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Word<'a> {
    None,
    /// Used if the variable is unset.
    Default(&'a str),
    /// Used if the variable is set.
    Replacement(&'a str),
}

/// Parses the reference at the start of `text`, which starts with `${`; returns it with its length.
pub(super) fn parse(text: &str) -> Result<(Reference<'_>, usize), &'static str> {
    let end = closing_brace(text).ok_or(UNCLOSED)?;
    let body = &text[2..end];
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let name = body.bytes().take_while(|byte| is_name(*byte)).count();
    let (name, rest) = body.split_at(name);
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(UNKNOWN);
    }
    let word = match rest.strip_prefix(':').unwrap_or(rest).split_at_checked(1) {
        _ if rest.is_empty() => Word::None,
        Some(("-", default)) => Word::Default(default),
        Some(("+", replacement)) => Word::Replacement(replacement),
        _ => return Err(UNKNOWN),
    };
    Ok((Reference { name, word }, end + 1))
}

fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = 0_usize;
    for at in 0..bytes.len().min(MAX_BYTES) {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'{') => open += 1,
            b'}' => open = open.checked_sub(1)?,
            _ => continue,
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}
