//! Search for registered values in each form that escaping gives them.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind, packed};

use crate::redact::deny::{self, DenyList};
use crate::redact::encoding::{Decoded, ENTITIES, ENTITY_LEVELS, PERCENT_LEVELS};
use crate::redact::{MIN_REDACTED_BYTES, base64, parts};

/// Desired length of an anchor, which is the start of a form, in bytes.
const ANCHOR_BYTES: usize = 8;
/// Length of an anchor that occurs rarely enough.
const ENOUGH_BYTES: usize = 3;
/// Length of an anchor that occurs rarely enough if one of its characters is encoded.
const ENCODED_BYTES: usize = 5;
/// Maximum number of anchors per value, and twice as many while they are short; beyond it anchors get shorter.
const MAX_ANCHORS: usize = 32;
/// Maximum number of anchors of all values for which the search
/// uses the faster form, which takes a few megabytes of memory.
const MAX_FAST_ANCHORS: usize = 400;
/// Maximum length of the form of one byte: percent-encoding takes
/// three, `\u00e9` six, and each level of nesting doubles backslashes.
const FORM_BYTES: usize = 8;
/// Maximum length of an encoded form of one character, after the start of a match.
const MAX_ENCODED_BYTES: usize = 64;
/// Number of bytes decoded first if a text starts like a value; doubled each time.
const FIRST_DECODED_BYTES: usize = 2 * MAX_ENCODED_BYTES;
/// Upper limit of the bytes kept of a cut value until it is redacted.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// All registered values, and a search for their anchors.
pub(crate) struct Patterns {
    patterns: Vec<Pattern>,
    finder: AhoCorasick,
    /// Search for a few anchors with vector instructions, if the processor has them.
    quick: Option<packed::Searcher>,
    /// For each anchor, the patterns to which it belongs.
    owners: Vec<Vec<u32>>,
    longest_form: usize,
}

impl Patterns {
    /// Builds the search; `None` without values.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a String>) -> Option<Self> {
        let mut patterns: Vec<Pattern> =
            deny::with_current(|deny| values.flat_map(|value| Pattern::of(value, deny)).collect());
        patterns.sort_unstable_by(|a, b| a.0.cmp(&b.0));
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
            .kind((anchors.len() <= MAX_FAST_ANCHORS).then_some(AhoCorasickKind::DFA))
            .build(&anchors)
            .ok()?;
        let quick = packed::Config::new().builder().extend(&anchors).build();
        Some(Self {
            patterns,
            finder,
            quick,
            owners,
            longest_form: (longest * FORM_BYTES).min(MAX_FORM_BYTES),
        })
    }

    pub(crate) fn longest_form(&self) -> usize {
        self.longest_form
    }

    /// Returns `true` if the text may contain a value.
    #[inline]
    pub(crate) fn may_match(&self, text: &[u8]) -> bool {
        match &self.quick {
            Some(quick) => quick.find(text).is_some(),
            None => self.finder.is_match(text),
        }
    }

    /// Adds the ranges of all values; they may overlap.
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

/// Value, or a part of it that is equally secret.
struct Pattern(Box<[char]>);

impl Pattern {
    /// Returns the patterns of a value: the value, also without surrounding white space, each of its lines and of
    /// the secrets in it that is long enough, and base64 of all but the lines. The frame lines of a PEM file are not
    /// secret. Variables may hold a file in one line, with `\\n` for the line breaks, which its reader restores.
    fn of(value: &str, deny: &DenyList) -> Vec<Self> {
        let parts = parts::of(value, deny);
        let lines = value
            .split(['\n', '\r'])
            .flat_map(|line| line.split("\\n"))
            .map(str::trim)
            .filter(|line| !line.starts_with("-----"));
        let is_long = |text: &&str| text.len() >= MIN_REDACTED_BYTES;
        let parts = || parts.iter().map(String::as_str);
        let trimmed = value.trim();
        let file = trimmed
            .contains("\\n")
            .then(|| trimmed.replace("\\n", "\n"));
        let encoded: Vec<String> = std::iter::once(trimmed)
            .chain(file.as_deref().map(str::trim))
            .chain(parts())
            .filter(is_long)
            .flat_map(base64::of)
            .collect();
        let mut texts: Vec<&str> = [value, trimmed]
            .into_iter()
            .chain(lines)
            .chain(parts())
            .filter(is_long)
            .chain(encoded.iter().map(String::as_str))
            .collect();
        // a value of one line equals its line
        texts.sort_unstable();
        texts.dedup();
        texts
            .into_iter()
            .map(|text| Self(text.chars().collect()))
            .collect()
    }

    /// Returns anchors such that every form starts with one of them.
    fn anchors(&self) -> Vec<Vec<u8>> {
        // most anchors grow by the next character; those that end with an encoded character do not
        let (mut anchors, mut ended) = (vec![Vec::new()], Vec::new());
        for (index, c) in self.0.iter().enumerate() {
            let have = |bytes| anchors.iter().all(|anchor| anchor.len() >= bytes);
            if have(ANCHOR_BYTES) {
                break;
            }
            if c.is_ascii_alphanumeric() {
                for anchor in &mut anchors {
                    anchor.push(*c as u8);
                }
                continue;
            }
            // after the first character, any number of backslashes may precede this one
            let may_be_escaped = may_be_escaped(*c) && index >= ENOUGH_BYTES;
            if index > 0 && (takes_backslash(*c) || may_be_escaped) {
                break;
            }
            let mut forms = forms(*c);
            if index > 0 && by_number(*c) {
                // stopping here would leave the anchor too short: add the usual depths of JSON in JSON
                let code = *c as u32;
                for slashes in [1, 2, 4, 8, 16].map(|slashes| "\\".repeat(slashes)) {
                    forms.push(format!("{slashes}u{code:04x}").into_bytes());
                    forms.push(format!("{slashes}u{code:04X}").into_bytes());
                }
                forms.dedup();
            }
            // short anchors occur in many texts: allow more of them
            let at_most = if have(ENOUGH_BYTES) {
                MAX_ANCHORS
            } else {
                2 * MAX_ANCHORS
            };
            if index > 0 && ended.len() + anchors.len() * forms.len() > at_most {
                break;
            }
            let mut raw = [0; 4];
            let raw = c.encode_utf8(&mut raw).as_bytes();
            let mut longer = Vec::new();
            for anchor in &anchors {
                for form in &forms {
                    let mut grown = [anchor.as_slice(), form].concat();
                    if form != raw && grown.len() >= ENCODED_BYTES {
                        // the common start of the forms is enough
                        grown.truncate(ENCODED_BYTES.max(anchor.len() + 1));
                        ended.push(grown);
                    } else {
                        longer.push(grown);
                    }
                }
            }
            anchors = longer;
            ended.sort();
            ended.dedup();
            if !c.is_ascii() {
                // an escape of several pieces, of which only the first is certain to follow
                break;
            }
        }
        anchors.append(&mut ended);
        anchors
    }

    /// Returns the end of the match that starts here, if there is one.
    fn match_at(&self, text: &[u8], start: usize) -> Option<usize> {
        let escaped = [&b"\\"[..], b"5c", b"5C"];
        // backslashes before a match belong to the escape at its start
        let escaped = escaped.iter().any(|end| text[..start].ends_with(end));
        let found = escaped_at(&self.0, text, start, escaped);
        found
            .ok()
            .or_else(|| encoded_at(&self.0, text, start, escaped))
    }
}

/// Matches the value as in a URL or an HTML page, encoded several times, and escaped before. Most
/// texts that start like a value do not match, so only a few times the matching length is decoded.
fn encoded_at(value: &[char], text: &[u8], start: usize, escaped: bool) -> Option<usize> {
    let longest = value.len().saturating_mul(MAX_ENCODED_BYTES);
    let whole = &text[start..text.len().min(start.saturating_add(longest))];
    let mut len = FIRST_DECODED_BYTES;
    loop {
        let is_cut = len < whole.len();
        let part = if is_cut { &whole[..len] } else { whole };
        match encoded_in(value, part, is_cut, escaped) {
            Ok(end) => return end.map(|end| start + end),
            Err(Cut) => len *= 2,
        }
    }
}

/// The part ends before the result is certain.
struct Cut;

/// Returns the end of the value in this part of a text, if the part starts with it.
fn encoded_in(
    value: &[char],
    part: &[u8],
    is_cut: bool,
    escaped: bool,
) -> Result<Option<usize>, Cut> {
    let is_too_short = |found, text: &[u8]| {
        let looked_at = match found {
            Ok(end) => end,
            Err(Differs(at)) => at,
        };
        is_cut && looked_at + MAX_ENCODED_BYTES > text.len()
    };
    // encoded characters may follow a long start that is not encoded
    let found = escaped_at(value, part, 0, escaped);
    if is_too_short(found, part) {
        return Err(Cut);
    }
    if is_final(found, part) {
        return Ok(None);
    }
    // HTML may be encoded in a URL, or in JSON that writes `&` as a number
    let mut texts: Vec<Decoded<'_>> = Vec::new();
    for (mark, levels) in [(b'%', PERCENT_LEVELS), (b'\\', 1), (b'&', ENTITY_LEVELS)] {
        for index in 0..=texts.len() {
            let mut decoded = match index.checked_sub(1) {
                None => Decoded::new(part, mark).and_then(|text| text.next()),
                Some(before) => texts[before].decoded(mark),
            };
            for _ in 0..levels {
                let Some(text) = decoded else {
                    break;
                };
                let found = escaped_at(value, &text.bytes, 0, escaped);
                if is_too_short(found, &text.bytes) {
                    return Err(Cut);
                }
                if let Ok(end) = found {
                    return Ok(Some(text.ends[end - 1]));
                }
                if is_final(found, &text.bytes) {
                    break;
                }
                decoded = text.decoded(mark);
                texts.push(text);
            }
        }
    }
    Ok(None)
}

/// Text that differs from the value: the position of the first difference, after the backslashes that belong to it.
#[derive(Clone, Copy)]
struct Differs(usize);

/// Returns `true` if a text differs from the value however it is decoded: nothing up to the difference is encoded.
fn is_final(found: Result<usize, Differs>, text: &[u8]) -> bool {
    let Err(Differs(at)) = found else {
        return false;
    };
    let start = &text[..text.len().min(at + 1)];
    memchr::memchr3(b'%', b'\\', b'&', start).is_none()
}

/// Matches the value unchanged, or with any number of levels of escaping.
fn escaped_at(
    value: &[char],
    text: &[u8],
    start: usize,
    mut escaped: bool,
) -> Result<usize, Differs> {
    let mut at = start;
    for c in value {
        if *c == '\\' {
            // each level of escaping doubles backslashes, so they are compared as one run
            let run = backslashes(text, at);
            if run == 0 && !escaped {
                return Err(Differs(at));
            }
            at += run;
            escaped = true;
            continue;
        }
        // the second half of a surrogate pair has as many backslashes
        at = unit_end(*c, text, at, escaped).ok_or(Differs(at + 2 * backslashes(text, at)))?;
        escaped = false;
    }
    Ok(at)
}

/// Returns `true` if some encoding puts a backslash before this character.
fn takes_backslash(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\' | '/' | '`' | '$') || c.is_ascii_control() || !c.is_ascii()
}

/// Same as [`takes_backslash`], or some JSON encoder writes the character as a number.
fn may_be_escaped(c: char) -> bool {
    takes_backslash(c) || by_number(c)
}

fn by_number(c: char) -> bool {
    matches!(c, '&' | '<' | '>' | '=' | '+')
}

/// Returns all forms of a character, without backslashes before it.
fn forms(c: char) -> Vec<Vec<u8>> {
    let mut raw = [0; 4];
    let raw = c.encode_utf8(&mut raw).as_bytes();
    let mut forms = vec![raw.to_vec()];
    if c.is_ascii_alphanumeric() {
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
        // the start of an entity that is itself encoded is enough
        forms.push([b"%26", &name.as_bytes()[..2]].concat());
        forms.push([b"\\u0026", &name.as_bytes()[..2]].concat());
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

/// Returns the letter of a short escape, after the backslash.
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

/// Returns the end of one character of a value, unchanged or escaped.
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

/// Returns the end of a sequence of escapes of one kind; the backslashes of the first one are before `start`.
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
