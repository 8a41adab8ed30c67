//! The lexer. It never looks inside literals, and where it is not sure how the engine reads a text it says so.

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

impl<'a> Token<'a> {
    pub(crate) fn text(self) -> &'a str {
        match self {
            Self::Space(text)
            | Self::Word(text)
            | Self::Number(text)
            | Self::Text(text)
            | Self::Quoted(text)
            | Self::Comment(text)
            | Self::Symbol(text) => text,
        }
    }
}

/// The text holds something that the lexer will not vouch for: an open literal or comment, a NUL, a space that is not
/// ASCII, a Unicode escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusual;

/// The pieces of a text; put together they are the text.
pub(crate) struct Lexer<'a> {
    rest: &'a str,
    escape: Escape,
}

/// A literal in quotes goes on behind a line break: one that began as `E'…'` with its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    /// An `E'…'` was the last token, or line comments and spaces without a break stand between.
    Ended,
    /// There was a line break, too.
    Continues,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(sql: &'a str) -> Self {
        Self {
            rest: sql,
            escape: Escape::None,
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, Unusual>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = *self.rest.as_bytes().first()?;
        let continues = self.escape == Escape::Continues && first == b'\'';
        let found = match continues {
            true => escaped(self.rest, 1).map(|length| (Token::Text as Make<'_>, length)),
            false => piece(self.rest, first),
        };
        let Some((make, length)) = found else {
            self.rest = "";
            return Some(Err(Unusual));
        };
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        let token = make(text);
        self.escape = match (token, self.escape) {
            (Token::Text(text), _) if continues || text.starts_with(['e', 'E']) => Escape::Ended,
            (_, Escape::None) => Escape::None,
            (Token::Space(space), _) if space.contains(['\n', '\r']) => Escape::Continues,
            (Token::Space(_), escape) => escape,
            (Token::Comment(comment), escape) if comment.starts_with("--") => escape,
            _ => Escape::None,
        };
        Some(Ok(token))
    }
}

type Make<'a> = fn(&'a str) -> Token<'a>;

fn piece(rest: &str, first: u8) -> Option<(Make<'_>, usize)> {
    let second = rest.as_bytes().get(1).copied();
    match first {
        b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => {
            Some((Token::Space, run(rest, |b| b.is_ascii_whitespace())))
        }
        b'\'' => Some((Token::Text, quoted(rest, b'\'')?)),
        b'"' => Some((Token::Quoted, quoted(rest, b'"')?)),
        b'-' if second == Some(b'-') => {
            Some((Token::Comment, run(rest, |b| b != b'\n' && b != b'\r')))
        }
        b'/' if second == Some(b'*') => Some((Token::Comment, block_comment(rest)?)),
        b'e' | b'E' if second == Some(b'\'') => Some((Token::Text, escaped(rest, 2)?)),
        b'u' | b'U' if second == Some(b'&') => None,
        b'$' => dollar(rest),
        b'0'..=b'9' => Some((
            Token::Number,
            run(rest, |b| {
                b.is_ascii_alphanumeric() || b == b'.' || b == b'_'
            }),
        )),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Some((Token::Word, word(rest)?)),
        0 | 0x0b => None,
        _ => Some((Token::Symbol, 1)),
    }
}

/// Bytes at the start that `accept` takes; it must not take a part of a character.
fn run(rest: &str, accept: impl Fn(u8) -> bool) -> usize {
    rest.bytes().position(|b| !accept(b)).unwrap_or(rest.len())
}

/// Letters beyond ASCII belong to words; anything else beyond ASCII may be a space to the engine.
fn word(rest: &str) -> Option<usize> {
    let plain = run(rest, |b| {
        b.is_ascii_alphanumeric() || b == b'_' || b == b'$'
    });
    if rest.as_bytes().get(plain).is_none_or(u8::is_ascii) {
        return Some(plain);
    }
    for (at, c) in rest.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '$' => {}
            _ if c.is_ascii() => return Some(at),
            _ if c.is_alphanumeric() => {}
            _ => return None,
        }
    }
    Some(rest.len())
}

/// Length of a quoted run whose quote is doubled to stand for itself.
fn quoted(rest: &str, quote: u8) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// Length of `/*…*/`, which may hold others.
fn block_comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (2, 1_u32);
    while depth > 0 {
        match bytes.get(at..at + 2)? {
            b"*/" => (at, depth) = (at + 2, depth - 1),
            b"/*" => (at, depth) = (at + 2, depth + 1),
            _ => at += 1,
        }
    }
    Some(at)
}

/// Length of a literal in which a backslash escapes; `at` is behind its first quote.
fn escaped(rest: &str, mut at: usize) -> Option<usize> {
    let bytes = rest.as_bytes();
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
    let tag = rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
    match tag.map(|end| end + 1) {
        Some(end) if rest[end..].starts_with('$') => {
            if rest.as_bytes()[1].is_ascii_digit() {
                return None;
            }
            let mark = &rest[..=end];
            let close = rest[mark.len()..].find(mark)?;
            Some((Token::Text, mark.len() * 2 + close))
        }
        _ => Some((Token::Symbol, 1)),
    }
}
