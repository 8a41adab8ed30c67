//! Credentials in form bodies, `user=ada&password=PASSWORD`, headers, `Authorization: Bearer TOKEN`, dictionaries
//! of Python and objects of JavaScript, `{'password': 'PASSWORD'}`, and addresses of Go, `user:PASSWORD@tcp(host)/db`.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::redact::deny::DenyList;
use crate::redact::names::{
    is_denied, is_end_of_word, last_name, percent_decoded, without_blanks, without_slashes,
};

/// Name of the header, and of `Proxy-Authorization`, without the letter that may be a capital.
const AUTHORIZATION: &str = "uthorization";
/// Schemes of that header whose credentials are one word.
const SCHEMES: [&str; 5] = ["basic", "bearer", "token", "negotiate", "apikey"];
/// Minimum length of such a word that has only small letters, apart from the first one.
const MIN_PLAIN_BYTES: usize = 8;
/// Start of the host in addresses of Go's driver for MySQL.
const HOSTS: [&str; 2] = ["@tcp(", "@unix("];
/// Start of an address of Oracle's driver for Java, before `user/PASSWORD@host`.
const ORACLE: &str = "jdbc:oracle:";

/// Returns `true` if the text may have one of these.
pub(super) fn may_be_in(text: &[u8]) -> bool {
    static HEADER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(AUTHORIZATION));
    memchr::memchr3(b'&', b'@', b'\'', text).is_some_and(|first| has_marks(text, first))
        || (memchr::memchr2(b':', b'=', text).is_some() && HEADER.find(text).is_some())
}

/// Returns `true` if the text has a pair beside `&`, a host of Go, an address of Oracle, or a colon beside a quote and a brace; `first` is the
/// first mark. Most texts with a quote and a colon have no brace: `cannot open 'x': not found`.
#[cold]
fn has_marks(text: &[u8], first: usize) -> bool {
    let has_brace = memchr::memchr(b'{', text).is_some();
    let is_mark = |at: usize| match text[at] {
        b'@' => HOSTS
            .iter()
            .any(|host| text[at..].starts_with(host.as_bytes())),
        _ if !has_brace => false,
        _ => {
            let before = &text[..at];
            let before = before.strip_suffix(b" ").unwrap_or(before);
            before.ends_with(b":") || text[at + 1..].starts_with(b":")
        }
    };
    let rest = &text[first..];
    (memchr::memchr(b'&', rest).is_some() && memchr::memchr(b'=', text).is_some())
        || memchr::memchr2_iter(b'@', b'\'', rest).any(|at| is_mark(first + at))
        || memchr::memrchr(b'@', rest).is_some_and(|at| {
            static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ORACLE));
            FINDER.find(&text[..first + at]).is_some()
        })
}

/// Adds the ranges of the credentials.
pub(super) fn find(text: &str, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    if !may_be_in(text.as_bytes()) {
        return;
    }
    let mut start = 0;
    for word in text.split(|c| is_end_of_word(c) || c == '\'') {
        if word.contains('&') && !word.contains(['?', '#']) {
            form(word, start, deny, found);
        }
        found.extend(before_host(word, start));
        found.extend(of_oracle(word, start));
        start += word.len();
        start += text[start..].chars().next().map_or(0, char::len_utf8);
    }
    for (at, name) in text.match_indices(AUTHORIZATION) {
        found.extend(of_header(text, at + name.len(), deny));
    }
    quoted(text, deny, found);
}

/// Adds the values of denied names, if the word consists of pairs: `name=value&name=value`.
fn form(word: &str, start: usize, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && !"_-.[]+%".contains(c);
    let (mut end, mut own) = (start, Vec::new());
    for (index, pair) in word.split('&').enumerate() {
        let Some((mut name, value)) = pair.split_once('=') else {
            return;
        };
        if index == 0 {
            // other text may stand before: `body:user=ada&...`
            name = name.rsplit(is_other).next().unwrap_or_default();
        }
        if name.is_empty() || name.contains(is_other) || value.starts_with('=') {
            return;
        }
        end += pair.len();
        if !value.is_empty() && is_denied(&percent_decoded(name), deny) {
            own.push(end - value.len()..end);
        }
        end += 1;
    }
    found.append(&mut own);
}

/// Returns the range of the password before the host in a word: `user:PASSWORD@tcp(host)/db`.
fn before_host(word: &str, start: usize) -> Option<Range<usize>> {
    let end = HOSTS.iter().filter_map(|host| word.rfind(host)).max()?;
    let password = word[..end].find(':')? + 1;
    (password < end).then_some(start + password..start + end)
}

/// Returns the range of the password in an address of Oracle's driver: `jdbc:oracle:thin:user/PASSWORD@host`.
fn of_oracle(word: &str, start: usize) -> Option<Range<usize>> {
    let address = word.find(ORACLE)?;
    let end = word.rfind('@').filter(|end| *end > address)?;
    let password = address + word[address..end].find('/')? + 1;
    (password < end).then_some(start + password..start + end)
}

/// Returns the range of the credentials of a header whose name ends here.
fn of_header(text: &str, end: usize, deny: &DenyList) -> Option<Range<usize>> {
    let value = text[end..]
        .trim_start_matches(' ')
        .strip_prefix([':', '='])?
        .trim_start_matches(' ');
    let rest = SCHEMES.iter().find_map(|scheme| {
        let start = value.get(..scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme)
            .then(|| &value[scheme.len()..])
    });
    let credentials = rest?.strip_prefix(' ')?.trim_start_matches(' ');
    let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:".contains(byte);
    let len = credentials.bytes().take_while(is_sign).count();
    let (word, behind) = credentials.split_at(len);
    // words of a sentence: `Authorization: Bearer token required`
    let letters = word
        .strip_prefix(|first: char| first.is_ascii_uppercase())
        .unwrap_or(word);
    let plain = letters.trim_end_matches(['.', ':', '=']);
    let is_plain = plain.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_followed = plain.len() < letters.len() || behind.starts_with([' ', ',', ')']);
    let is_words = is_plain && (len < MIN_PLAIN_BYTES || is_followed);
    let start = text.len() - credentials.len();
    (!is_words && deny.has(b"authorization")).then_some(start..start + len)
}

/// Adds the strings in single quotes, or under a key in single quotes, that are values of denied names.
fn quoted(text: &str, deny: &DenyList, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let Some(mut from) = memchr::memchr(b'{', bytes) else {
        return;
    };
    while let Some(colon) = memchr::memchr(b':', &bytes[from..]) {
        let before = &bytes[..from + colon];
        from += colon + 1;
        let key = before.strip_suffix(b"'").map(without_slashes);
        let name = last_name(key.unwrap_or(before));
        let behind = &before[..key.unwrap_or(before).len() - name.len()];
        let behind = match key {
            Some(_) => behind
                .strip_suffix(b"'")
                .map(|behind| without_slashes(behind.strip_suffix(b"b").unwrap_or(behind))),
            None => Some(behind),
        };
        let is_next = |behind| matches!(without_blanks(behind), [.., b'{' | b',']);
        if !behind.is_some_and(is_next) || !deny.has(name) {
            continue;
        }
        let is_list = text[from..].trim_start().starts_with(['[', '(']);
        while let Some((value, end)) = string_at(text, from, key.is_some()) {
            // `Debug` writes single characters like this
            if value.len() > 1 {
                found.push(value);
            }
            from = end;
            if !is_list {
                break;
            }
        }
    }
}

/// Returns the range of the string that starts here, after openings of a list or of bytes, and the position after it.
fn string_at(text: &str, from: usize, is_python: bool) -> Option<(Range<usize>, usize)> {
    let is_before = |c: char| c.is_ascii_whitespace() || "[(,bu".contains(c);
    let opening = text.len() - text[from..].trim_start_matches(is_before).len();
    let start = text.len() - text[opening..].trim_start_matches('\\').len();
    let quote = text[start..].chars().next()?;
    if quote != '\'' && !(quote == '"' && is_python) {
        return None;
    }
    let (inside, slashes) = (start + 1, start - opening);
    let mut end = inside;
    while let Some(len) = text[end..].find(quote) {
        let value = &text[inside..end + len];
        end += len + 1;
        let before = value.len() - value.trim_end_matches('\\').len();
        if before == slashes || (slashes == 0 && before.is_multiple_of(2)) {
            return Some((inside..inside + value.len() - slashes, end));
        }
    }
    // it was cut
    Some((inside..text.len(), text.len()))
}
