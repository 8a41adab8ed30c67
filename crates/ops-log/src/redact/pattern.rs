//! Registered values, found in each form that escaping gives them.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::redact::deny::{self, DenyList};
use crate::redact::encoding::{Decoded, ENTITIES, ENTITY_LEVELS, PERCENT_LEVELS};
use crate::redact::{MIN_REDACTED_BYTES, parts};

/// Beginnings are this long if the value allows it.
const ANCHOR_BYTES: usize = 8;
/// Length of a beginning that is found rarely enough.
const ENOUGH_BYTES: usize = 3;
/// Beginnings of one value, at most; with more they get shorter.
const MAX_ANCHORS: usize = 32;
/// Longest form of one byte: percent-encoding has three, `\u00e9` six, and each level of nesting doubles backslashes.
const FORM_BYTES: usize = 8;
/// Length of the longest form of one character behind the start of a match that is encoded.
const MAX_ENCODED_BYTES: usize = 64;
/// Number of characters that are compared before a text is decoded for all of them.
const PROBED_CHARACTERS: usize = 4;
/// Upper limit of what is kept of a value that is cut, until it has been scrubbed.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// All registered values, and a search for their beginnings.
pub(crate) struct Patterns {
    patterns: Vec<Pattern>,
    finder: AhoCorasick,
    /// For each beginning the patterns that it belongs to.
    owners: Vec<Vec<u32>>,
    longest_form: usize,
}

impl Patterns {
    /// Builds the search; `None` if there is no value.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a String>) -> Option<Self> {
        let mut patterns: Vec<Pattern> =
            deny::with_current(|deny| values.flat_map(|value| Pattern::of(value, deny)).collect());
        patterns.sort_by(|a, b| a.0.cmp(&b.0));
        patterns.dedup_by(|a, b| a.0 == b.0);
        let mut owners: Vec<Vec<u32>> = Vec::new();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut anchors: Vec<Vec<u8>> = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            for anchor in pattern.anchors() {
                let at = *known.entry(anchor.clone()).or_insert_with(|| {
                    anchors.push(anchor);
                    owners.push(Vec::new());
                    anchors.len() - 1
                });
                owners[at].push(index as u32);
            }
        }
        let bytes = |pattern: &Pattern| pattern.0.iter().map(|c| c.len_utf8()).sum::<usize>();
        let longest = patterns.iter().map(bytes).max()?;
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&anchors)
            .ok()?;
        Some(Self {
            patterns,
            finder,
            owners,
            longest_form: (longest * FORM_BYTES).min(MAX_FORM_BYTES),
        })
    }

    pub(crate) fn longest_form(&self) -> usize {
        self.longest_form
    }

    /// Reports whether any value may be in the text.
    #[inline]
    pub(crate) fn may_match(&self, text: &[u8]) -> bool {
        self.finder.is_match(text)
    }

    /// Adds the places of all values; they may overlap.
    pub(crate) fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        for anchor in self.finder.find_overlapping_iter(text) {
            for owner in &self.owners[anchor.pattern().as_usize()] {
                if let Some(end) = self.patterns[*owner as usize].match_at(text, anchor.start()) {
                    found.push(anchor.start()..end);
                }
            }
        }
    }
}

/// A value, or a part of it that is as secret.
struct Pattern(Box<[char]>);

impl Pattern {
    /// The value, the same without the white space around it, and each of its lines and of the secrets in it that is long enough; the
    /// frame lines of a PEM file are no secret.
    fn of(value: &str, deny: &DenyList) -> Vec<Self> {
        let parts = parts::of(value, deny);
        let lines = value
            .split(['\n', '\r'])
            // variables hold a file in one line, whose reader puts the line breaks back
            .flat_map(|line| line.split("\\n"))
            .map(str::trim)
            .filter(|line| !line.starts_with("-----"));
        [value, value.trim()]
            .into_iter()
            .chain(lines)
            .chain(parts.iter().map(String::as_str))
            .filter(|text| text.len() >= MIN_REDACTED_BYTES)
            .map(|text| Self(text.chars().collect()))
            .collect()
    }

    /// Beginnings of which every form has one.
    fn anchors(&self) -> Vec<Vec<u8>> {
        let mut anchors = vec![Vec::new()];
        for (index, c) in self.0.iter().enumerate() {
            // behind the first character backslashes may stand here, any number of them
            let may_be_escaped = may_be_escaped(*c) && index >= ENOUGH_BYTES;
            if index > 0 && (takes_backslash(*c) || may_be_escaped) {
                break;
            }
            let mut forms = forms(*c);
            if index > 0 && by_number(*c) {
                // a break here would leave too little: the usual depths of JSON in JSON
                let code = *c as u32;
                for slashes in [1, 2, 4, 8, 16].map(|slashes| "\\".repeat(slashes)) {
                    forms.push(format!("{slashes}u{code:04x}").into_bytes());
                    forms.push(format!("{slashes}u{code:04X}").into_bytes());
                }
                forms.dedup();
            }
            let full = anchors.iter().all(|anchor| anchor.len() >= ANCHOR_BYTES);
            if index > 0 && (full || anchors.len() * forms.len() > MAX_ANCHORS) {
                break;
            }
            anchors = anchors
                .iter()
                .flat_map(|anchor| {
                    forms
                        .iter()
                        .map(|form| [anchor.as_slice(), form.as_slice()].concat())
                })
                .collect();
            if !c.is_ascii() {
                // an escape of several pieces, of which only the first one is known to follow
                break;
            }
        }
        anchors
    }

    /// The end of the match that begins here, if one does.
    fn match_at(&self, text: &[u8], start: usize) -> Option<usize> {
        let escaped = [&b"\\"[..], b"5c", b"5C"];
        // backslashes before a match belong to the escape that it begins with
        let escaped = escaped.iter().any(|end| text[..start].ends_with(end));
        let found = escaped_at(&self.0, text, start, escaped);
        found.or_else(|| {
            // most anchors are no match: a few characters show it
            let few = &self.0[..self.0.len().min(PROBED_CHARACTERS)];
            escaped_at(few, text, start, escaped)
                .or_else(|| encoded_at(few, text, start, escaped))?;
            encoded_at(&self.0, text, start, escaped)
        })
    }
}

/// Matches the value as it stands in a URL or in a page, encoded more than once, and escaped before.
fn encoded_at(value: &[char], text: &[u8], start: usize, escaped: bool) -> Option<usize> {
    let longest = value.len().saturating_mul(MAX_ENCODED_BYTES);
    let part = &text[start..text.len().min(start.saturating_add(longest))];
    let levels = [(b'%', PERCENT_LEVELS), (b'&', ENTITY_LEVELS)];
    levels.into_iter().find_map(|(mark, levels)| {
        let mut decoded = Decoded::new(part, mark)?;
        (0..levels).find_map(|_| {
            decoded = decoded.next()?;
            let end = escaped_at(value, &decoded.bytes, 0, escaped)?;
            Some(start + decoded.ends[end - 1])
        })
    })
}

/// Matches the value as it is, or behind any number of levels of escaping.
fn escaped_at(value: &[char], text: &[u8], start: usize, mut escaped: bool) -> Option<usize> {
    let mut at = start;
    for c in value {
        if *c == '\\' {
            // a level of escaping doubles them, and so they are one run
            let run = backslashes(text, at);
            if run == 0 && !escaped {
                return None;
            }
            at += run;
            escaped = true;
            continue;
        }
        at = unit_end(*c, text, at, escaped)?;
        escaped = false;
    }
    Some(at)
}

/// Reports whether some encoding puts a backslash before this character.
fn takes_backslash(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\' | '/' | '`' | '$') || c.is_ascii_control() || !c.is_ascii()
}

/// The same, or that some encoder of JSON writes its number.
fn may_be_escaped(c: char) -> bool {
    takes_backslash(c) || by_number(c)
}

fn by_number(c: char) -> bool {
    matches!(c, '&' | '<' | '>' | '=' | '+')
}

/// All forms of a character, without the backslashes before it.
fn forms(c: char) -> Vec<Vec<u8>> {
    let mut raw = [0; 4];
    let raw = c.encode_utf8(&mut raw).as_bytes();
    let mut forms = vec![raw.to_vec()];
    if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~') {
        return forms;
    }
    let hex = |byte: &u8| [format!("{byte:02x}"), format!("{byte:02X}")];
    for case in [0, 1] {
        for mark in ["%", "%25", "%2525"] {
            let encoded: String = raw
                .iter()
                .map(|byte| format!("{mark}{}", hex(byte)[case]))
                .collect();
            forms.push(encoded.into_bytes());
        }
    }
    for (name, _) in ENTITIES.iter().filter(|(_, means)| *means == c) {
        forms.push(format!("&{name};").into_bytes());
        forms.push(format!("&amp;{name};").into_bytes());
    }
    if c == ' ' {
        forms.push(b"+".to_vec());
    }
    if may_be_escaped(c) {
        let code = c as u32;
        let mut units = [0; 2];
        let first = c.encode_utf16(&mut units)[0];
        forms.extend(
            [
                format!("u{first:04x}"),
                format!("u{first:04X}"),
                format!("u{{{code:x}}}"),
                format!("u{{{code:X}}}"),
                format!("U{code:08x}"),
                format!("U{code:08X}"),
                format!("x{:02x}", raw[0]),
                format!("x{:02X}", raw[0]),
            ]
            .map(String::into_bytes),
        );
        forms.extend(letter(c).map(|letter| vec![letter]));
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The letter behind the backslash of a short escape.
fn letter(c: char) -> Option<u8> {
    Some(match c {
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\u{7}' => b'a',
        '\u{b}' => b'v',
        '\u{1b}' => b'e',
        '\0' => b'0',
        _ => return None,
    })
}

fn backslashes(text: &[u8], at: usize) -> usize {
    text[at..].iter().take_while(|byte| **byte == b'\\').count()
}

/// The end of one character of a value, as it is or escaped.
fn unit_end(c: char, text: &[u8], at: usize, escaped: bool) -> Option<usize> {
    let mut raw = [0; 4];
    let raw = c.encode_utf8(&mut raw).as_bytes();
    if text[at..].starts_with(raw) {
        return Some(at + raw.len());
    }
    if c == ' ' && text.get(at) == Some(&b'+') {
        return Some(at + 1);
    }
    if !may_be_escaped(c) {
        return None;
    }
    let behind = at + backslashes(text, at);
    if behind == at && !escaped {
        return None;
    }
    let rest = &text[behind..];
    if rest.starts_with(raw) {
        return Some(behind + raw.len());
    }
    if rest.first().is_some_and(|first| letter(c) == Some(*first)) {
        return Some(behind + 1);
    }
    match rest.first()? {
        b'u' if rest.get(1) == Some(&b'{') => {
            let end = rest.iter().take(10).position(|byte| *byte == b'}')?;
            (number(&rest[2..end])? == c as u32).then_some(behind + end + 1)
        }
        b'u' => {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units);
            escapes(
                text,
                behind,
                b'u',
                4,
                units.iter().map(|unit| u32::from(*unit)),
            )
        }
        b'U' => escapes(text, behind, b'U', 8, std::iter::once(c as u32)),
        b'x' => escapes(
            text,
            behind,
            b'x',
            2,
            raw.iter().map(|byte| u32::from(*byte)),
        ),
        _ => None,
    }
}

/// The end of a sequence of escapes of one kind; the backslashes of the first one are passed already.
fn escapes(
    text: &[u8],
    start: usize,
    mark: u8,
    digits: usize,
    codes: impl Iterator<Item = u32>,
) -> Option<usize> {
    let mut at = start;
    for (index, code) in codes.enumerate() {
        if index > 0 {
            at += backslashes(text, at);
        }
        if *text.get(at)? != mark || number(text.get(at + 1..at + 1 + digits)?)? != code {
            return None;
        }
        at += 1 + digits;
    }
    Some(at)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = (*digit as char).to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit)
    })
}
