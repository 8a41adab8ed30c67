use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::source::dotenv::reference::{self, Word};
use crate::source::env::Environment;

/// Problem of one line of a `.env` file. Contains no part of a value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Number of the line, counted from 1.
    pub line: usize,
    /// The key, if the line has one that is a plain variable name.
    pub key: Option<String>,
    /// Description of the problem.
    pub problem: &'static str,
}

const UNCLOSED: &str = "the opening quote is not closed";

/// Reason to refuse a line whose value would contain bytes that are not text.
const NOT_UTF8: &str = "refers to an environment variable that is not UTF-8";

/// Reason to refuse a line whose value would contain a refused value.
const REFUSED: &str = "refers to a key above that was refused";

/// Note about a value that may lack a part.
const UNSET: &str = "refers to a variable that is unset or empty: replaced by nothing; write ${NAME:-} if this is intended";

/// Reason to refuse a line whose references would make the values too large.
const TOO_LONG: &str = "with references expanded, all values together exceed the limit of 4 MiB";
const MAX_VALUES_BYTES: usize = 4 << 20;

/// Maximum nesting of references inside the defaults of references.
const MAX_NESTING: usize = 16;

/// A parsed file: values, refused keys, and problems for the operator.
#[derive(Default)]
pub(crate) struct Parsed {
    values: HashMap<String, Zeroizing<String>>,
    refused: HashMap<String, (usize, &'static str)>,
    /// Size of all values in bytes.
    bytes: usize,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// After an unclosed quote, a supposed key may be part of its value.
    in_unterminated_quote: bool,
}

impl Parsed {
    /// Parses a file. A bad line affects no other line.
    pub(crate) fn read(bytes: &[u8], environment: Option<&Environment>) -> Self {
        let mut parsed = Self::default();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let bytes = with_unix_line_breaks(bytes);
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let mut next = 0;
        while next < lines.len() {
            next += parsed.line(&lines[next..], next + 1, environment);
        }
        parsed
    }

    /// Returns the value; an empty one counts as unset.
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

    /// Returns whether the file has the key, even without a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Parses what starts on the first of `lines`; returns the number of lines it takes.
    fn line(&mut self, lines: &[&[u8]], number: usize, environment: Option<&Environment>) -> usize {
        let Some((first, _)) = lines.split_first() else {
            return 1;
        };
        let start = first.trim_ascii_start();
        if start.is_empty() || start.starts_with(b"#") {
            return 1;
        }
        let Some(equals) = start.iter().position(|byte| *byte == b'=') else {
            self.add_diagnostic(number, None, "missing `=`");
            return 1;
        };
        let Some(key) = key_of(&start[..equals]) else {
            self.add_diagnostic(
                number,
                None,
                "the key is empty, contains a blank or NUL, or is not UTF-8",
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
        let (mut from, mut problem) = (0, UNCLOSED);
        for taken in 1.. {
            if let Some(end) = closing(&raw, from, quote) {
                let style = if quote == b'"' {
                    Style::Double
                } else {
                    Style::Single
                };
                let rest = &raw[end + 1..];
                // on a later line, the quote may be one of several within the value: `href="#top"`
                let is_own = rest.starts_with(b"#")
                    && (taken == 1 || !(opens_a_value(&raw[from..end]) || rest.contains(&quote)));
                if is_own || is_comment_or_blank(rest) {
                    self.decode(key, &raw[..end], style, number, environment);
                    return taken;
                }
                if taken == 1 {
                    problem = "unexpected text after the closing quote";
                }
                break; // on a later line, the quote that closed it is more likely the opening quote of that line
            }
            let Some(line) = lines.get(taken) else { break };
            raw.push(b'\n');
            from = raw.len();
            raw.extend_from_slice(line);
        }
        // a path that ends with a backslash, not an escaped quote
        let ends_path = |end: &usize| {
            rest[*end] == quote && rest[end - 1] == b'\\' && is_comment_or_blank(&rest[end + 1..])
        };
        if quote == b'\''
            && let Some(end) = (1..rest.len()).find(ends_path)
        {
            self.decode(key, &rest[1..end], Style::Literal, number, environment);
            return 1;
        }
        self.refuse(key, number, problem);
        self.in_unterminated_quote |= problem == UNCLOSED;
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
            return self.refuse(key, line, "the value contains a NUL character");
        }
        let value = match style {
            Style::Literal => Zeroizing::new(text.to_owned()),
            Style::Single => unescape_single(text),
            Style::Plain | Style::Double => {
                let mut problem = None;
                let value = self.expand(text, style, environment, &mut problem, 0);
                match problem {
                    Some(problem @ (NOT_UTF8 | REFUSED | TOO_LONG)) => {
                        return self.refuse(key, line, problem);
                    }
                    Some(problem) => self.add_diagnostic(line, Some(key), problem),
                    None => {}
                }
                value
            }
        };
        if !is_variable_name(key) {
            self.add_diagnostic(
                line,
                None,
                "the key is not a valid variable name: use letters, digits and `_`, and do not start with a digit",
            );
        }
        self.bytes += value.len();
        if self.values.insert(key.to_owned(), value).is_some() {
            self.add_diagnostic(line, Some(key), "duplicate key: the last value is used");
        }
        self.refused.remove(key);
    }

    /// Replaces references (never `$NAME`: passwords contain `$`),
    /// and escapes inside double quotes. Records the first problem.
    fn expand(
        &self,
        text: &str,
        style: Style,
        environment: Option<&Environment>,
        problem: &mut Option<&'static str>,
        depth: usize,
    ) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(text.len()));
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let after = &rest[char.len_utf8()..];
            if char == '\\' && matches!(style, Style::Double) {
                rest = escape(after, &mut out);
                continue;
            }
            if char == '$'
                && after.starts_with('{')
                && let Some(variables) = environment
            {
                match reference::parse(rest) {
                    Ok(_) if depth == MAX_NESTING => {
                        problem.get_or_insert(
                            "references are nested more than 16 levels deep: kept as literal text",
                        );
                    }
                    Ok((found, length)) => {
                        let set = self.variable(found.name, variables, problem);
                        let word = match (set, found.word) {
                            (Some(_), Word::Replacement(word)) | (None, Word::Default(word)) => {
                                self.expand(word, style, environment, problem, depth + 1)
                            }
                            (Some(value), _) => value,
                            (None, Word::None) => {
                                problem.get_or_insert(UNSET);
                                Zeroizing::default()
                            }
                            (None, _) => Zeroizing::default(),
                        };
                        if self.bytes + out.len() + word.len() > MAX_VALUES_BYTES {
                            *problem = Some(TOO_LONG);
                            return out;
                        }
                        out.push_str(&word);
                        rest = &rest[length..];
                        continue;
                    }
                    Err(unclear) => {
                        problem.get_or_insert(unclear);
                    }
                }
            }
            out.push(char);
            rest = after;
        }
        out
    }

    /// Returns a variable. The environment takes precedence over
    /// the lines above; an empty value counts as unset in both.
    fn variable(
        &self,
        name: &str,
        variables: &Environment,
        problem: &mut Option<&'static str>,
    ) -> Option<Zeroizing<String>> {
        let value = variables.exact(name).unwrap_or_else(|_| {
            *problem = Some(NOT_UTF8);
            None
        });
        if value.is_none() && self.refused.contains_key(name) {
            *problem = Some(REFUSED);
        }
        let value = value.map(Zeroizing::new);
        value
            .or_else(|| self.values.get(name).cloned())
            .filter(|value| !value.is_empty())
    }

    fn refuse(&mut self, key: &str, line: usize, problem: &'static str) {
        self.values.remove(key);
        self.refused.insert(key.to_owned(), (line, problem));
        self.add_diagnostic(line, Some(key), problem);
    }

    fn add_diagnostic(&mut self, line: usize, key: Option<&str>, problem: &'static str) {
        let key = key.filter(|key| is_variable_name(key) && !self.in_unterminated_quote);
        let key = key.map(str::to_owned);
        self.diagnostics.push(Diagnostic { line, key, problem });
    }
}

#[derive(Clone, Copy)]
enum Style {
    Plain,
    Literal,
    Single,
    Double,
}

fn key_of(raw: &[u8]) -> Option<&str> {
    let key = std::str::from_utf8(raw).ok()?.trim();
    let exported = key.strip_prefix("export");
    let exported = exported.filter(|rest| rest.starts_with([' ', '\t']));
    let key = exported.map_or(key, str::trim);
    (!key.is_empty() && !key.contains([' ', '\t', '\0'])).then_some(key)
}

fn is_variable_name(key: &str) -> bool {
    !key.starts_with(|first: char| first.is_ascii_digit())
        && !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Returns the text up to a `#` after a blank, or to the end, without the blanks around it.
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
            b'\\' => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// Returns whether the quote after this part of a line rather opens a value: `NAME="#`.
fn opens_a_value(before: &[u8]) -> bool {
    let name = before.trim_ascii_end().strip_suffix(b"=");
    name.and_then(key_of)
        .is_some_and(|name| !name.contains('='))
}

fn is_comment_or_blank(rest: &[u8]) -> bool {
    let trimmed = rest.trim_ascii();
    trimmed.is_empty() || (trimmed.starts_with(b"#") && rest.starts_with_blank())
}

/// Writes the character that an escape stands for; returns the rest.
fn escape<'a>(after: &'a str, out: &mut String) -> &'a str {
    let mut chars = after.chars();
    match chars.next() {
        Some('n') => out.push('\n'),
        Some('r') => out.push('\r'),
        Some('t') => out.push('\t'),
        Some(same @ ('\\' | '"' | '\'' | '$')) => out.push(same),
        Some(other) => out.extend(['\\', other]),
        None => out.push('\\'),
    }
    chars.as_str()
}

/// Replaces the two escapes in single quotes that python-dotenv's `set_key` writes.
fn unescape_single(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some(same @ ('\\' | '\''))) => {
                out.push(*same);
                chars.next();
            }
            _ => out.push(char),
        }
    }
    out
}

/// Converts `\r\n` and a lone `\r` to `\n`.
fn with_unix_line_breaks(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut bytes = bytes.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' if bytes.peek() == Some(&&b'\n') => {}
            b'\r' => out.push(b'\n'),
            other => out.push(*other),
        }
    }
    out
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
