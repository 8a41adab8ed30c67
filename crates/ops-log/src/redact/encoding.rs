//! Percent-encoding and entities of HTML, taken back level by level.

use std::borrow::Cow;

/// Levels of percent-encoding that are taken back: an address may be a parameter of another one.
pub(super) const PERCENT_LEVELS: usize = 3;
/// Levels of entities that are taken back.
pub(super) const ENTITY_LEVELS: usize = 2;

/// Names and numbers of characters in HTML and XML, and what they stand for.
pub(super) const ENTITIES: [(&str, char); 17] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("#38", '&'),
    ("#60", '<'),
    ("#62", '>'),
    ("#34", '"'),
    ("#39", '\''),
    ("#039", '\''),
    ("#x26", '&'),
    ("#x3c", '<'),
    ("#x3e", '>'),
    ("#x22", '"'),
    ("#x27", '\''),
    ("#x2f", '/'),
];

/// Text of which some levels of an encoding were taken back.
pub(super) struct Decoded<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// For each byte its end in the text.
    pub(super) ends: Vec<usize>,
    /// The byte that a code begins with: `%` or `&`.
    mark: u8,
}

impl<'a> Decoded<'a> {
    /// Takes nothing back yet; `None` if there is nothing to take back.
    pub(super) fn new(text: &'a [u8], mark: u8) -> Option<Self> {
        text.contains(&mark).then(|| Self {
            bytes: Cow::Borrowed(text),
            ends: (1..=text.len()).collect(),
            mark,
        })
    }

    /// Takes one level back; `None` if there is none.
    pub(super) fn next(&self) -> Option<Decoded<'static>> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            let rest = &self.bytes[at..];
            let code = if *byte == self.mark { code(rest) } else { None };
            let (byte, len) = code.unwrap_or((*byte, 1));
            at += len;
            bytes.push(byte);
            ends.push(self.ends[at - 1]);
        }
        (bytes.len() < self.bytes.len()).then_some(Decoded {
            bytes: Cow::Owned(bytes),
            ends,
            mark: self.mark,
        })
    }
}

/// The byte that the text begins with, and the length of its code.
fn code(text: &[u8]) -> Option<(u8, usize)> {
    if let [b'%', high, low, ..] = text {
        let digit = |byte: &u8| (*byte as char).to_digit(16);
        return Some((u8::try_from(digit(high)? * 16 + digit(low)?).ok()?, 3));
    }
    ENTITIES.iter().find_map(|(name, means)| {
        let end = 1 + name.len();
        let is_it = text.get(1..end)?.eq_ignore_ascii_case(name.as_bytes());
        let byte = u8::try_from(*means).ok()?;
        (is_it && text.get(end) == Some(&b';')).then_some((byte, end + 1))
    })
}
