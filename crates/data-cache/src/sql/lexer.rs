//! The lexer. It never looks inside literals, and returns [`Unusual`] if it is not certain how the engine reads a text.

/// One token of SQL text.
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

#[cfg(any(feature = "duckdb", feature = "flight-sql"))]
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

/// Error for a text that the lexer cannot read with certainty: an open
/// literal or comment, a NUL, a space that is not ASCII, a Unicode escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusual;

/// Kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Space,
    Word,
    Number,
    Text,
    Quoted,
    /// A comment up to the end of its line.
    Line,
    /// A comment between `/*` and `*/`.
    Block,
    Symbol,
}

/// Iterator over the tokens of a text; joined, they are the text.
pub(crate) struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    escape: Escape,
}

/// State of a quoted literal that may continue after a line break: one that began as `E'…'` does so with its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    /// The last token was an `E'…'`, or only line comments and spaces without a line break follow it.
    Ended,
    /// A line break followed as well.
    Continues,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(sql: &'a str) -> Self {
        Self {
            sql,
            at: 0,
            escape: Escape::None,
        }
    }

    /// Returns the position at which the next token begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Advances past the next token.
    #[inline]
    pub(crate) fn step(&mut self) -> Option<Result<Kind, Unusual>> {
        let rest = &self.sql[self.at..];
        let first = *rest.as_bytes().first()?;
        let continues = self.escape == Escape::Continues && first == b'\'';
        let found = match continues {
            true => escaped(rest, 1).map(|length| (Kind::Text, length)),
            false => piece(rest, first),
        };
        let Some((kind, length)) = found else {
            self.at = self.sql.len();
            return Some(Err(Unusual));
        };
        self.at += length;
        self.escape = match (kind, self.escape) {
            (Kind::Text, _) if continues || matches!(first, b'e' | b'E') => Escape::Ended,
            (_, Escape::None) => Escape::None,
            (Kind::Space, _) if rest[..length].contains(['\n', '\r']) => Escape::Continues,
            (Kind::Space | Kind::Line, escape) => escape,
            _ => Escape::None,
        };
        Some(Ok(kind))
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, Unusual>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let kind = self.step()?;
        let text = &self.sql[start..self.at];
        Some(kind.map(|kind| match kind {
            Kind::Space => Token::Space(text),
            Kind::Word => Token::Word(text),
            Kind::Number => Token::Number(text),
            Kind::Text => Token::Text(text),
            Kind::Quoted => Token::Quoted(text),
            Kind::Line | Kind::Block => Token::Comment(text),
            Kind::Symbol => Token::Symbol(text),
        }))
    }
}

/// Returns kind and length of the first token.
fn piece(rest: &str, first: u8) -> Option<(Kind, usize)> {
    let second = rest.as_bytes().get(1).copied();
    Some(match first {
        b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => (Kind::Space, run(rest, SPACE)),
        b'\'' => (Kind::Text, quoted(rest, b'\'')?),
        b'"' => (Kind::Quoted, quoted(rest, b'"')?),
        b'-' if second == Some(b'-') => (Kind::Line, line(rest)),
        b'/' if second == Some(b'*') => (Kind::Block, block_comment(rest)?),
        b'e' | b'E' if second == Some(b'\'') => (Kind::Text, escaped(rest, 2)?),
        b'u' | b'U' if second == Some(b'&') => return None,
        b'$' => return dollar(rest),
        b'0'..=b'9' => (Kind::Number, run(rest, NUMBER)),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => (Kind::Word, word(rest)?),
        0 | 0x0b => return None,
        _ => (Kind::Symbol, 1),
    })
}

/// Classes of bytes, one bit each.
const SPACE: u8 = 1;
const NUMBER: u8 = 2;
const WORD: u8 = 4;
/// The classes of each byte.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < 128 {
        let byte = at as u8;
        if byte.is_ascii_whitespace() {
            classes[at] |= SPACE;
        }
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            classes[at] |= NUMBER | WORD;
        }
        at += 1;
    }
    classes[b'.' as usize] |= NUMBER;
    classes[b'$' as usize] |= WORD;
    classes
};

/// Number of leading bytes of a class.
fn run(rest: &str, class: u8) -> usize {
    let end = rest
        .bytes()
        .position(|byte| CLASSES[usize::from(byte)] & class == 0);
    end.unwrap_or(rest.len())
}

/// Number of bytes before a line break.
fn line(rest: &str) -> usize {
    let end = rest.bytes().position(|byte| matches!(byte, b'\n' | b'\r'));
    end.unwrap_or(rest.len())
}

/// Length of a word. Letters beyond ASCII belong to it; any other character beyond ASCII may be a space to the engine.
fn word(rest: &str) -> Option<usize> {
    let plain = run(rest, WORD);
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

/// Length of a quoted token in which a doubled quote stands for itself.
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

/// Length of `/*…*/`, which may be nested.
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

/// Length of a literal with backslash escapes; `at` is after its first quote.
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

/// Reads `$tag$…$tag$`, or the `$` of a parameter.
fn dollar(rest: &str) -> Option<(Kind, usize)> {
    let tag = rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
    match tag.map(|end| end + 1) {
        Some(end) if rest[end..].starts_with('$') => {
            if rest.as_bytes()[1].is_ascii_digit() {
                return None;
            }
            let mark = &rest[..=end];
            let close = rest[mark.len()..].find(mark)?;
            Some((Kind::Text, mark.len() * 2 + close))
        }
        _ => Some((Kind::Symbol, 1)),
    }
}
