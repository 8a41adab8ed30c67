use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

use zeroize::Zeroizing;

use crate::source::env::Environment;

/// Something about one line of a `.env` file. Holds no part of a value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Counted from 1.
    pub line: usize,
    /// The key, when the line has one that is a plain variable name.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: &'static str,
}

/// A parsed file: what can be used, what cannot, and what to tell the operator.
#[derive(Default)]
pub(crate) struct Parsed {
    values: HashMap<String, Zeroizing<String>>,
    refused: HashMap<String, (usize, &'static str)>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// After a quote that is never closed, what looks like a key may be a part of its value.
    astray: bool,
}

impl Parsed {
    /// One bad line never costs the others.
    pub(crate) fn read(bytes: &[u8], environment: Option<&Environment>) -> Self {
        let mut parsed = Self::default();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let mut next = 0;
        while next < lines.len() {
            next += parsed.line(&lines[next..], next + 1, environment);
        }
        parsed
    }

    /// The value; an empty one counts as not set.
    pub(crate) fn get(&self, key: &str) -> Result<Option<&str>, (usize, &'static str)> {
        match self.refused.get(key) {
            Some(refusal) => Err(*refusal),
            None => Ok(self
                .values
                .get(key)
                .map(|value| value.as_str())
                .filter(|value| !value.is_empty())),
        }
    }

    /// Reads what starts on the first of `lines`; returns how many of them it took.
    fn line(&mut self, lines: &[&[u8]], number: usize, environment: Option<&Environment>) -> usize {
        let Some((first, _)) = lines.split_first() else {
            return 1;
        };
        let first = first.strip_suffix(b"\r").unwrap_or(first);
        let start = first.trim_ascii_start();
        if start.is_empty() || start.starts_with(b"#") {
            return 1;
        }
        let Some(equals) = start.iter().position(|byte| *byte == b'=') else {
            self.tell(number, None, "there is no `=`");
            return 1;
        };
        let Some(key) = key_of(&start[..equals]) else {
            self.tell(
                number,
                None,
                "the key is empty, has blanks in it or is not UTF-8",
            );
            return 1;
        };
        let rest = start[equals + 1..].trim_ascii_start_matches_blank();
        match rest.first() {
            Some(quote @ (b'"' | b'\'')) => {
                self.quoted(key, *quote, rest, lines, number, environment)
            }
            _ => {
                let value = unquoted(&start[equals + 1..]);
                self.decode(key, value, Style::Plain, number, environment);
                1
            }
        }
    }

    fn quoted(
        &mut self,
        key: &str,
        quote: u8,
        rest: &[u8],
        lines: &[&[u8]],
        number: usize,
        environment: Option<&Environment>,
    ) -> usize {
        let mut raw = Zeroizing::new(rest[1..].to_vec());
        let mut from = 0;
        for taken in 1.. {
            if let Some(end) = closing(&raw, from, quote) {
                let style = if quote == b'"' {
                    Style::Double
                } else {
                    Style::Single
                };
                if is_comment_or_blank(&raw[end + 1..]) {
                    self.decode(key, &raw[..end], style, number, environment);
                    return taken;
                }
                if taken == 1 {
                    self.refuse(key, number, "something follows the closing quote");
                    return 1;
                }
                break; // what closed it is rather the opening quote of another line
            }
            let Some(line) = lines.get(taken) else { break };
            if raw.last() == Some(&b'\r') {
                raw.pop();
            }
            raw.push(b'\n');
            from = raw.len();
            raw.extend_from_slice(line);
        }
        self.refuse(key, number, "the quote is never closed");
        self.astray = true;
        1
    }

    fn decode(
        &mut self,
        key: &str,
        raw: &[u8],
        style: Style,
        line: usize,
        environment: Option<&Environment>,
    ) {
        let Ok(text) = std::str::from_utf8(raw) else {
            return self.refuse(key, line, "the value is not UTF-8");
        };
        if text.contains('\0') {
            return self.refuse(key, line, "the value has a NUL character in it");
        }
        let value = match style {
            Style::Single => Zeroizing::new(text.to_owned()),
            _ => self.expand(text, style, environment),
        };
        if !is_variable_name(key) {
            self.tell(
                line,
                None,
                "the key cannot be an environment variable: use letters, digits and `_`",
            );
        }
        if self.values.insert(key.to_owned(), value).is_some() {
            self.tell(
                line,
                Some(key),
                "the key was set before; the last one counts",
            );
        }
        self.refused.remove(key);
    }

    /// `${NAME}` and `${NAME:-default}` (never `$NAME`: passwords contain `$`), and escapes inside double quotes.
    fn expand(
        &self,
        text: &str,
        style: Style,
        environment: Option<&Environment>,
    ) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(text.len()));
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' if matches!(style, Style::Double) => escape(&mut chars, &mut out),
                '$' if chars.peek() == Some(&'{') => match environment {
                    Some(environment) => self.reference(&mut chars, &mut out, environment),
                    None => out.push('$'),
                },
                other => out.push(other),
            }
        }
        out
    }

    fn reference(
        &self,
        chars: &mut Peekable<Chars<'_>>,
        out: &mut String,
        environment: &Environment,
    ) {
        let mut ahead = chars.clone();
        ahead.next();
        let body: String = ahead.by_ref().take_while(|char| *char != '}').collect();
        let (name, default) = body.split_once(":-").unwrap_or((&body, ""));
        let closed = chars.clone().any(|char| char == '}');
        if !closed || !is_variable_name(name) {
            return out.push('$');
        }
        *chars = ahead;
        match environment.text(name) {
            Some(value) => out.push_str(&value),
            None => match self.values.get(name).filter(|value| !value.is_empty()) {
                Some(value) => out.push_str(value),
                None => out.push_str(default),
            },
        }
    }

    fn refuse(&mut self, key: &str, line: usize, problem: &'static str) {
        self.values.remove(key);
        self.refused.insert(key.to_owned(), (line, problem));
        self.tell(line, Some(key), problem);
    }

    fn tell(&mut self, line: usize, key: Option<&str>, problem: &'static str) {
        let key = key.filter(|key| is_variable_name(key) && !self.astray);
        let key = key.map(str::to_owned);
        self.diagnostics.push(Diagnostic { line, key, problem });
    }
}

#[derive(Clone, Copy)]
enum Style {
    Plain,
    Single,
    Double,
}

fn key_of(raw: &[u8]) -> Option<&str> {
    let key = std::str::from_utf8(raw).ok()?.trim();
    let key = key.strip_prefix("export ").map_or(key, str::trim);
    (!key.is_empty() && !key.contains([' ', '\t', '\0'])).then_some(key)
}

fn is_variable_name(key: &str) -> bool {
    !key.starts_with(|first: char| first.is_ascii_digit())
        && !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Up to a `#` that a blank comes before, or the end; without the blanks around it.
fn unquoted(raw: &[u8]) -> &[u8] {
    let comment = raw
        .windows(2)
        .position(|pair| matches!(pair, [b' ' | b'\t', b'#']));
    raw[..comment.unwrap_or(raw.len())].trim_ascii()
}

fn closing(raw: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut at = from;
    while at < raw.len() {
        match raw[at] {
            b'\\' if quote == b'"' => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
    None
}

fn is_comment_or_blank(rest: &[u8]) -> bool {
    let trimmed = rest.trim_ascii();
    trimmed.is_empty() || (trimmed.starts_with(b"#") && rest.starts_with_blank())
}

fn escape(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    match chars.next() {
        Some('n') => out.push('\n'),
        Some('r') => out.push('\r'),
        Some('t') => out.push('\t'),
        Some(same @ ('\\' | '"' | '$')) => out.push(same),
        Some(other) => out.extend(['\\', other]),
        None => out.push('\\'),
    }
}

trait Blanks {
    fn starts_with_blank(&self) -> bool;
    fn trim_ascii_start_matches_blank(&self) -> &[u8];
}

impl Blanks for [u8] {
    fn starts_with_blank(&self) -> bool {
        matches!(self.first(), Some(b' ' | b'\t'))
    }

    fn trim_ascii_start_matches_blank(&self) -> &[u8] {
        let blanks = self
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        &self[blanks..]
    }
}
