//! JSON within text, such as a request body: `{"user":"ada","password":"x"}`;
//! and `Debug` output of structs, maps and pairs.

use std::borrow::Cow;
use std::ops::Range;

use crate::escape;
use crate::redact::REDACTED;
use crate::redact::deny::DenyList;
use crate::redact::names::{last_name, without_blanks, without_slashes};
use crate::redact::scrub::{self, token_len};

/// Maximum length of an escape of `Debug`, in bytes: `\u{10ffff}`.
const LONGEST_ESCAPE: usize = 10;

/// Maximum depth of documents within documents that are read. Each level doubles the escapes
/// of its content, however they were written; deeper documents are hidden as a whole.
const MAX_DEPTH: u32 = 6;

/// Words of SQL after which names of columns may follow. In small letters, some may be words of a sentence.
const COLUMNS_FOLLOW: [&str; 14] = [
    "UNIQUE", "unique", "KEY", "INDEX", "CONFLICT", "conflict", "ON", "BY", "BTREE", "btree",
    "USING", "SELECT", "WHERE", "AND",
];
/// Words of SQL after which such a word, or the name of a table with its columns may follow.
const TABLE_FOLLOWS: [&str; 11] = [
    "PRIMARY",
    "primary",
    "FOREIGN",
    "foreign",
    "INTO",
    "into",
    "REFERENCES",
    "references",
    "ON",
    "TABLE",
    "COPY",
];

/// Returns `true` if a text starts like a JSON document, has one in quotes, or has a denied field in `Debug` form.
#[inline]
pub(crate) fn may_have_denied(text: &[u8], deny: &DenyList) -> bool {
    begins(text) || is_beside_a_quote(text, deny)
}

/// Returns `true` if a document or a denied value may start at a quote. Not inlined, because few texts have quotes.
#[inline(never)]
fn is_beside_a_quote(text: &[u8], deny: &DenyList) -> bool {
    memchr::memchr_iter(b'"', text)
        .any(|quote| begins(&text[quote + 1..]) || may_be_denied(&text[..quote], deny))
}

/// Same as [`may_have_denied`], for the strings in JSON whose own values under denied keys are hidden already.
pub(crate) fn may_have_denied_within(json: &[u8], deny: &DenyList) -> bool {
    memchr::memchr_iter(b'"', json).any(|quote| {
        let (before, behind) = (&json[..quote], &json[quote + 1..]);
        begins(behind) || before.ends_with(b"\\") && may_be_denied(before, deny)
    })
}

/// Returns `true` if the `Debug` output of a value with a denied name may follow.
fn may_be_denied(before: &[u8], deny: &DenyList) -> bool {
    let before = without_slashes(before);
    let opened = without_openings(before);
    is_denied_field(opened, deny)
        || is_denied_pair(opened, deny)
        || is_denied_variable(opened, deny)
        || is_denied_option(before, deny)
        || denied_map(before, deny).is_some()
        || is_value_of_pair(opened)
}

/// Returns `true` if the value of a JSON object with `name` and `value` follows.
fn is_value_of_pair(before: &[u8]) -> bool {
    let key = without_blanks(before).strip_suffix(b":");
    let name = key.and_then(|key| without_blanks(key).strip_suffix(b"\""));
    name.is_some_and(|name| last_name(without_slashes(name)).eq_ignore_ascii_case(b"value"))
}

/// Returns the position of the map or set that starts before its first string, if it is the value of a denied field of
/// a struct: `Request { cookies: {`. Within a JSON text it may be a schema: `"password": {"type": "string"}`.
fn denied_map(before: &[u8], deny: &DenyList) -> Option<usize> {
    let before = without_blanks(before).strip_suffix(b"{")?;
    let field = without_openings(before);
    let is_key = without_blanks(field).ends_with(b"\":");
    (!is_key && is_denied_field(field, deny)).then_some(before.len())
}

/// Returns `true` if the value of a denied environment variable follows, as in `Debug` output of commands: `TOKEN=`.
fn is_denied_variable(before: &[u8], deny: &DenyList) -> bool {
    let name = before.strip_suffix(b"=").map(last_name);
    let is_part = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    name.is_some_and(|name| name.iter().all(is_part) && deny.has(name))
}

/// Returns `true` if the argument of a denied option follows: `["--password", `, `"curl" "--token" `.
fn is_denied_option(before: &[u8], deny: &DenyList) -> bool {
    let before = without_blanks(before);
    let before = without_blanks(before.strip_suffix(b",").unwrap_or(before));
    let Some(option) = before.strip_suffix(b"\"").map(without_slashes) else {
        return false;
    };
    let name = last_name(option);
    name.starts_with(b"--")
        && option[..option.len() - name.len()].ends_with(b"\"")
        && deny.has(name)
}

/// Returns `true` if the value of a denied field of a struct or a denied key of a map follows, as
/// in `Debug` output: `Login { password: `, `{"x-api-key": `. Elsewhere a name and a colon may be
/// words of a sentence. Openings of a value, such as `Some(` and `[`, must be removed before.
fn is_denied_field(before: &[u8], deny: &DenyList) -> bool {
    let Some(field) = before
        .strip_suffix(b" ")
        .unwrap_or(before)
        .strip_suffix(b":")
    else {
        return false;
    };
    let key = field.strip_suffix(b"\"");
    let name = last_name(key.map_or(field, without_slashes));
    let behind = match key.map(without_slashes) {
        None => Some(&field[..field.len() - name.len()]),
        Some(key) => key[..key.len() - name.len()]
            .strip_suffix(b"\"")
            .map(without_slashes),
    };
    let is_first_or_next = |behind| matches!(without_blanks(behind).last(), Some(b'{' | b','));
    behind.is_some_and(is_first_or_next) && deny.has(name)
}

/// Returns `true` if the second string of a pair follows whose first one is a denied key: `("x-api-key", `.
fn is_denied_pair(before: &[u8], deny: &DenyList) -> bool {
    let before = without_blanks(before);
    let Some(key) = before.strip_suffix(b"\",").map(without_slashes) else {
        return false;
    };
    let name = last_name(key);
    let opening = key[..key.len() - name.len()].strip_suffix(b"\"");
    match opening.map(|before| without_blanks(without_slashes(before))) {
        Some([before @ .., b'(']) => {
            // not arguments of a call, fields of a tuple struct or columns of a table: `"users" ("password", "name")`
            let is_of_name = !last_name(before).is_empty() || before.ends_with(b"\" ");
            !is_of_name && deny.has(name) && !are_columns(before)
        }
        _ => false,
    }
}

/// Returns `true` if names of columns follow, as in SQL: `UNIQUE (`, `INSERT INTO users (`.
fn are_columns(before: &[u8]) -> bool {
    let is_one = |word: &[u8], words: &[&str]| words.iter().any(|known| known.as_bytes() == word);
    let before = without_blanks(before);
    let last = last_name(before);
    let next = last_name(without_blanks(&before[..before.len() - last.len()]));
    is_one(last, &COLUMNS_FOLLOW) || is_one(next, &TABLE_FOLLOWS)
}

/// Returns `true` if a pair ends here, or the text was cut.
fn is_end_of_pair(behind: &[u8]) -> bool {
    let is_between = |byte: &&u8| byte.is_ascii_whitespace() || **byte == b',';
    let between = behind.iter().take_while(is_between).count();
    matches!(behind.get(between), None | Some(b')'))
}

/// Returns `true` for text that separates two strings of a list: `, `, `), Some(`.
fn is_within_list(between: &[u8]) -> bool {
    let opening = without_openings(between).trim_ascii_end();
    let is_closing = |byte: &u8| byte.is_ascii_whitespace() || b")],".contains(byte);
    opening.ends_with(b",") && opening.iter().all(is_closing)
}

/// Returns the text without openings of a value at its end:
/// `Some(`, `[None, `, `Mutex { data: `, and `b` before bytes.
fn without_openings(mut text: &[u8]) -> &[u8] {
    if let [before @ .., b'b'] = text
        && last_name(before).is_empty()
    {
        text = before;
    }
    loop {
        let end = without_blanks(text);
        text = match end {
            [before @ .., b'(' | b'['] => &before[..before.len() - last_name(before).len()],
            _ => match end.strip_suffix(b"None,").or_else(|| without_cell(end)) {
                Some(before) => before,
                None => return text,
            },
        };
    }
}

/// Returns the text without the `Debug` opening of a cell or a lock at its end.
fn without_cell(text: &[u8]) -> Option<&[u8]> {
    let field = text.strip_suffix(b":")?;
    let (field, kinds): (_, [&[u8]; 2]) = match field.strip_suffix(b"value") {
        Some(field) => (field, [b"Cell", b"RefCell"]),
        None => (field.strip_suffix(b"data")?, [b"Mutex", b"RwLock"]),
    };
    let before = without_blanks(without_blanks(field).strip_suffix(b"{")?);
    let kind = last_name(before);
    let is_known = kinds.contains(&kind);
    is_known.then(|| &before[..before.len() - kind.len()])
}

/// Returns `true` if a text starts like a JSON document, after white space, which may be escaped.
#[inline]
fn begins(mut text: &[u8]) -> bool {
    loop {
        text = match text {
            [b'{' | b'[', ..] => return true,
            [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] => rest,
            [b'\\', ..] => {
                let slashes = text.iter().take_while(|byte| **byte == b'\\').count();
                match &text[slashes..] {
                    [b't' | b'r' | b'n', rest @ ..] => rest,
                    _ => return false,
                }
            }
            _ => return false,
        }
    }
}

/// Returns the text of a field without registered values, credentials in URLs and
/// values under denied keys of JSON documents: of the document, also a cut one, that
/// the text is, and of documents in its quotes. `None` if there is nothing to hide.
#[cold]
pub(crate) fn hidden(text: &str, deny: &DenyList) -> Option<String> {
    hidden_at(text, deny, 0)
}

fn hidden_at(text: &str, deny: &DenyList, depth: u32) -> Option<String> {
    // a text that is registered as a whole is hidden as a whole
    let scrubbed = scrub::text(text, deny);
    let known = scrubbed.as_deref().unwrap_or(text);
    let rewritten = match known.as_bytes() {
        text if begins(text) => rewritten(known, DenyScope::Document, deny, depth),
        text if is_beside_a_quote(text, deny) => rewritten(known, DenyScope::Fields, deny, depth),
        _ => None,
    };
    rewritten.or(scrubbed)
}

/// Same as [`hidden`], for JSON in which values under denied keys are hidden already: only its strings are read.
#[cold]
pub(crate) fn hidden_within(json: &str, deny: &DenyList) -> Option<String> {
    rewritten(json, DenyScope::Hidden, deny, 0)
}

/// Values of a text that may be denied, in addition to those within its quoted strings.
#[derive(Clone, Copy)]
enum DenyScope {
    /// None: they are hidden already.
    Hidden,
    /// Quoted strings that are fields in `Debug` output.
    Fields,
    /// Values of all kinds, because the text is a document.
    Document,
}

fn rewritten(text: &str, scope: DenyScope, deny: &DenyList, depth: u32) -> Option<String> {
    let json = text.as_bytes();
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    // end of the last string of a denied field
    let mut field = None;
    // for each open object, `true` if it is a pair whose name is denied
    let mut pairs = Vec::new();
    while at < json.len() {
        let end = at + token_len(&json[at..]);
        let token = &json[at..end];
        match token[0] {
            b'{' => pairs.push(false),
            b'}' => drop(pairs.pop()),
            _ => {}
        }
        let replaced = match token[0] {
            b'{' | b'[' if is_escaped(&json[end..]) => escaped_document(text, at, deny, depth),
            b'"' => {
                let denied = scope
                    .denied_at(json, at..end, field, deny)
                    .or_else(|| scope.denied_pair_at(json, at..end, pairs.last_mut(), deny));
                field = None;
                match denied {
                    Some(Denied::Value(value)) => Some((value.start, value.end)),
                    Some(Denied::Text { is_of_field }) => {
                        field = is_of_field.then_some(end);
                        // an empty string reveals nothing
                        (token.len() > 2).then_some((at, end))
                    }
                    None => None,
                }
                .map(|(from, to)| (from, to, format!("\"{REDACTED}\"")))
                .or_else(|| within(token, deny, depth).map(|inner| (at, end, inner)))
            }
            _ => None,
        };
        at = match replaced {
            None => end,
            Some((from, to, with)) => {
                out.push_str(text.get(copied..from).unwrap_or_default());
                out.push_str(&with);
                copied = to;
                to
            }
        };
    }
    (copied > 0).then(|| out + text.get(copied..).unwrap_or_default())
}

/// Returns `true` if a document goes on with an escaped quote, because its text was taken out of quotes.
fn is_escaped(document: &[u8]) -> bool {
    let behind = document.trim_ascii_start();
    let slashes = behind.iter().take_while(|byte| **byte == b'\\').count();
    slashes > 0 && behind.get(slashes) == Some(&b'"')
}

/// Returns such a document without denied values, and its place; it ends at a quote that is not escaped.
fn escaped_document(
    text: &str,
    start: usize,
    deny: &DenyList,
    depth: u32,
) -> Option<(usize, usize, String)> {
    let mut end = start;
    while text.as_bytes().get(end).is_some_and(|byte| *byte != b'"') {
        end += if text.as_bytes()[end] == b'\\' { 2 } else { 1 };
    }
    let end = end.min(text.len());
    let quoted = format!("\"{}\"", text.get(start..end)?);
    let hidden = within(quoted.as_bytes(), deny, depth)?;
    Some((start, end, hidden[1..hidden.len() - 1].to_owned()))
}

/// Denied part at a quoted string.
enum Denied {
    /// Value after the string, which is a key.
    Value(Range<usize>),
    /// The string itself.
    Text { is_of_field: bool },
}

impl DenyScope {
    /// Checks a quoted string; `field` is the end of the last string of a denied field.
    fn denied_at(
        self,
        text: &[u8],
        quoted: Range<usize>,
        field: Option<usize>,
        deny: &DenyList,
    ) -> Option<Denied> {
        if matches!(self, Self::Hidden) {
            return None;
        }
        if matches!(self, Self::Document)
            && let Some(value) = denied_value(text, quoted.clone(), deny)
        {
            return Some(Denied::Value(value));
        }
        let (before, behind) = (&text[..quoted.start], &text[quoted.end..]);
        let before = without_slashes(before);
        if let Some(map) = denied_map(before, deny) {
            return hidden_to(text, map).map(|end| Denied::Value(map..end));
        }
        let is_argument =
            !text[quoted.clone()].starts_with(b"\"-") && is_denied_option(before, deny);
        let before = without_openings(before);
        let is_next = field.is_some_and(|end| is_within_list(&text[end..quoted.start]))
            && value_behind(text, quoted.end).is_none();
        if is_next || is_denied_field(before, deny) {
            return Some(Denied::Text { is_of_field: true });
        }
        let is_pair = is_denied_pair(before, deny) && is_end_of_pair(behind);
        let is_one = is_pair || is_argument || is_denied_variable(before, deny);
        is_one.then_some(Denied::Text { is_of_field: false })
    }

    /// Checks a string of a document, which may be in a pair: `["token", "x"]` within a list, or an object with `name`
    /// or `key` and then `value`. `is_denied` is set once the name of the object around the string is denied.
    fn denied_pair_at(
        self,
        json: &[u8],
        quoted: Range<usize>,
        is_denied: Option<&mut bool>,
        deny: &DenyList,
    ) -> Option<Denied> {
        if matches!(self, Self::Hidden) {
            return None;
        }
        let is_word = |words: &[&str]| {
            let text = json
                .get(quoted.start + 1..quoted.end - 1)
                .unwrap_or_default();
            words
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
        };
        let value = match value_behind(json, quoted.end) {
            Some(name) if is_word(&["name", "key"]) => {
                let name = name..name + token_len(&json[name..]);
                *is_denied? |= text_at(json, name).is_some_and(|name| deny.has(name.as_bytes()));
                return None;
            }
            Some(value) => (*is_denied? && is_word(&["value"])).then_some(value)?,
            None if matches!(self, Self::Document) => second_of_list(json, quoted, deny)?,
            None => return None,
        };
        hidden_to(json, value).map(|end| Denied::Value(value..end))
    }
}

/// Returns the position of the second value of a list within a list, if the first one is a denied key.
fn second_of_list(json: &[u8], first: Range<usize>, deny: &DenyList) -> Option<usize> {
    let before = json[..first.start].trim_ascii_end().strip_suffix(b"[")?;
    let comma = first.end + blanks(json, first.end);
    let is_first =
        json.get(comma) == Some(&b',') && matches!(before.trim_ascii_end(), [.., b'[' | b',']);
    let is_denied = is_first && deny.has(text_at(json, first)?.as_bytes());
    let second = comma + 1 + blanks(json, comma + 1);
    is_denied
        .then_some(second)
        .filter(|_| is_last(json, second))
}

/// Returns `true` if the value that starts here is the last one of a list, was cut, or is itself a list or an object.
fn is_last(json: &[u8], value: usize) -> bool {
    let Some(rest) = json.get(value..) else {
        return true;
    };
    let behind = value + token_len(rest);
    rest.starts_with(b"{")
        || rest.starts_with(b"[")
        || matches!(json.get(behind + blanks(json, behind)), None | Some(b']'))
}

fn text_at(json: &[u8], token: Range<usize>) -> Option<Cow<'_, str>> {
    serde_json::from_slice(json.get(token)?).ok()
}

/// Returns the range of the value after a string that is a denied key.
fn denied_value(json: &[u8], key: Range<usize>, deny: &DenyList) -> Option<Range<usize>> {
    let value = value_behind(json, key.end)?;
    let key = text_at(json, key)?;
    deny.has(key.as_bytes())
        .then(|| hidden_to(json, value).map(|end| value..end))?
}

/// Returns a quoted string without denied content, if it has documents, or the start of a cut one.
fn within(token: &[u8], deny: &DenyList, depth: u32) -> Option<String> {
    memchr::memchr3(b'{', b'[', b':', token)
        .or_else(|| memchr::memchr3(b'(', b'=', b'\\', token))?;
    let text = unescaped(token);
    if !may_have_denied(text.as_bytes(), deny) {
        return None;
    }
    if depth == MAX_DEPTH {
        return Some(format!("\"{REDACTED}\""));
    }
    let mut quoted = b"\"".to_vec();
    escape::json(&hidden_at(&text, deny, depth + 1)?, &mut quoted);
    quoted.push(b'"');
    String::from_utf8(quoted).ok()
}

/// Returns the text of a string of JSON or of `Debug` output, which may be cut. Invalid escapes are unchanged.
fn unescaped(token: &[u8]) -> String {
    let (mut text, mut rest) = (Vec::with_capacity(token.len()), &token[1..]);
    while let Some(slash) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(slash);
        text.extend_from_slice(plain);
        let (sign, len) = escaped(escape).unwrap_or(('\\', 1));
        match escape.get(1) {
            // possibly part of a character of several bytes
            Some(b'x') => text.push(sign as u8),
            _ => text.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &escape[len..];
    }
    text.extend_from_slice(rest.strip_suffix(b"\"").unwrap_or(rest));
    String::from_utf8_lossy(&text).into_owned()
}

/// Returns the character, or the byte, of the escape at the start, and the length of the escape.
fn escaped(text: &[u8]) -> Option<(char, usize)> {
    let number = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let sign = match text.get(1)? {
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'0' => '\0',
        sign @ (b'"' | b'\\' | b'/' | b'\'') => char::from(*sign),
        b'x' => {
            let byte = u8::try_from(number(text.get(2..4)?)?).ok()?;
            return Some((char::from(byte), 4));
        }
        b'u' if text.get(2) == Some(&b'{') => {
            let end = text
                .iter()
                .take(LONGEST_ESCAPE)
                .position(|byte| *byte == b'}')?;
            return Some((char::from_u32(number(&text[3..end])?)?, end + 1));
        }
        b'u' => {
            let first = number(text.get(2..6)?)?;
            let second = text
                .get(6..12)
                .and_then(|text| number(text.strip_prefix(b"\\u")?));
            return match (first, second) {
                // a character beyond 16 bits
                (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
                    let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    Some((char::from_u32(code)?, 12))
                }
                _ => Some((char::from_u32(first)?, 6)),
            };
        }
        _ => return None,
    };
    Some((sign, 2))
}

/// Returns the position of the value after a key that ends here; `None` if it is not a key.
fn value_behind(json: &[u8], end: usize) -> Option<usize> {
    let colon = end + blanks(json, end);
    if json.get(colon) != Some(&b':') {
        return None;
    }
    Some(colon + 1 + blanks(json, colon + 1))
}

fn blanks(json: &[u8], from: usize) -> usize {
    let rest = json.get(from..).unwrap_or_default();
    rest.iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// Returns the end of the value that starts here, if it reveals anything.
fn hidden_to(json: &[u8], from: usize) -> Option<usize> {
    let first = *json.get(from)?;
    let (mut at, mut depth) = (from, 0_u32);
    match first {
        b'"' if json[from..].starts_with(b"\"\"") => return None,
        b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' => {}
        _ => return None,
    }
    while at < json.len() {
        match json[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += token_len(&json[at..]);
        if depth == 0 {
            break;
        }
    }
    Some(at)
}
