//! Percent-encoding, entities of HTML and escapes of JSON, taken back level by level.

use std::borrow::Cow;
use std::ops::Range;

/// Levels of percent-encoding that are taken back: an address may be a parameter of another one.
pub(super) const PERCENT_LEVELS: usize = 3;
/// Levels of entities that are taken back.
pub(super) const ENTITY_LEVELS: usize = 2;
/// Backslashes before one sign: four levels of JSON within JSON. Of more, the last ones count.
const MAX_SLASHES: usize = 15;

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
    /// The byte that a code begins with: `%`, `&` or `\`.
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
        let len = self.bytes.len();
        let (mut bytes, mut ends) = (Vec::with_capacity(len), Vec::with_capacity(len));
        let mut at = 0;
        while at < len {
            let plain = memchr::memchr(self.mark, &self.bytes[at..]);
            let mark = plain.map_or(len, |plain| at + plain);
            bytes.extend_from_slice(&self.bytes[at..mark]);
            ends.extend_from_slice(&self.ends[at..mark]);
            at = mark;
            if at < len {
                let (byte, len) = code(&self.bytes[at..]).unwrap_or((self.mark, 1));
                at += len;
                bytes.push(byte);
                ends.push(self.ends[at - 1]);
            }
        }
        (bytes.len() < self.bytes.len()).then_some(Decoded {
            bytes: Cow::Owned(bytes),
            ends,
            mark: self.mark,
        })
    }

    /// The place in the text of what stands here after decoding.
    pub(super) fn source(&self, place: Range<usize>) -> Range<usize> {
        let end = |count: usize| count.checked_sub(1).map_or(0, |last| self.ends[last]);
        end(place.start)..end(place.end)
    }
}

/// The byte that the text begins with, and the length of its code.
fn code(text: &[u8]) -> Option<(u8, usize)> {
    if text.first() == Some(&b'\\') {
        return escaped_sign(text);
    }
    if let [b'%', high, low, ..] = text {
        return Some((byte_of(*high, *low)?, 3));
    }
    ENTITIES.iter().find_map(|(name, means)| {
        let end = 1 + name.len();
        let is_it = text.get(1..end)?.eq_ignore_ascii_case(name.as_bytes());
        let byte = u8::try_from(*means).ok()?;
        (is_it && text.get(end) == Some(&b';')).then_some((byte, end + 1))
    })
}

/// The byte that has these hexadecimal digits.
fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The sign that JSON escapes, `\/` or `\u0026`, behind as many backslashes as JSON within JSON has: encoders differ in which
/// ones they escape.
fn escaped_sign(text: &[u8]) -> Option<(u8, usize)> {
    let slashes = text.iter().take(MAX_SLASHES);
    let slashes = slashes.take_while(|byte| **byte == b'\\').count();
    let rest = &text[slashes..];
    if rest.first() == Some(&b'/') {
        return Some((b'/', slashes + 1));
    }
    let [a, b, c, d] = *rest.strip_prefix(b"u")?.first_chunk::<4>()?;
    let number = u16::from_be_bytes([byte_of(a, b)?, byte_of(c, d)?]);
    let sign = match char::from_u32(u32::from(number)) {
        // as it stands, it ends a URL
        Some(sign) if sign.is_control() || (sign != ' ' && sign.is_whitespace()) => return None,
        Some(sign) if sign.is_ascii() => sign as u8,
        // a sign of another alphabet, or half of one beyond them: no mark of URLs, and no end of one
        _ => b'_',
    };
    Some((sign, slashes + 5))
}
