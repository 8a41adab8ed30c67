//! Percent-encoding, HTML entities and JSON escapes, decoded level by level.

use std::borrow::Cow;
use std::ops::Range;

/// Number of levels of percent-encoding that are decoded: a URL may be a parameter of another one.
pub(super) const PERCENT_LEVELS: usize = 3;
/// Number of levels of entities that are decoded.
pub(super) const ENTITY_LEVELS: usize = 2;
/// Maximum number of backslashes before one character: four levels
/// of JSON within JSON. If there are more, the last ones count.
const MAX_SLASHES: usize = 15;

/// Names and numbers of characters in HTML and XML, and the characters.
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

/// Text of which some levels of an encoding were decoded.
pub(super) struct Decoded<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// For each byte, its end in the original text.
    pub(super) ends: Vec<usize>,
    /// First byte of a code: `%`, `&` or `\`.
    mark: u8,
}

impl<'a> Decoded<'a> {
    /// Wraps a text without decoding it; `None` if it has no code.
    pub(super) fn new(text: &'a [u8], mark: u8) -> Option<Self> {
        text.contains(&mark).then(|| Self {
            bytes: Cow::Borrowed(text),
            ends: (1..=text.len()).collect(),
            mark,
        })
    }

    /// Decodes one level; `None` if there is none.
    pub(super) fn next(&self) -> Option<Decoded<'static>> {
        self.decoded(self.mark)
    }

    /// Decodes one level of the encoding with this mark; `None` if there is none.
    pub(super) fn decoded(&self, mark: u8) -> Option<Decoded<'static>> {
        let len = self.bytes.len();
        let (mut bytes, mut ends) = (Vec::with_capacity(len), Vec::with_capacity(len));
        let mut at = 0;
        while at < len {
            let plain = memchr::memchr(mark, &self.bytes[at..]);
            let plain = plain.map_or(len, |plain| at + plain);
            bytes.extend_from_slice(&self.bytes[at..plain]);
            ends.extend_from_slice(&self.ends[at..plain]);
            at = plain;
            if at < len {
                let (byte, len) = code(&self.bytes[at..]).unwrap_or((mark, 1));
                at += len;
                bytes.push(byte);
                ends.push(self.ends[at - 1]);
            }
        }
        (bytes.len() < self.bytes.len()).then_some(Decoded {
            bytes: Cow::Owned(bytes),
            ends,
            mark,
        })
    }

    /// Returns the range in the original text of a range in the decoded text.
    pub(super) fn source(&self, place: Range<usize>) -> Range<usize> {
        let end = |count: usize| count.checked_sub(1).map_or(0, |last| self.ends[last]);
        end(place.start)..end(place.end)
    }
}

/// Returns the byte encoded at the start of the text, and the length of its code.
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

/// Returns the byte with these hexadecimal digits.
fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Decodes a JSON escape, `\/` or `\u0026`, after as many backslashes as
/// JSON within JSON has: encoders differ in which characters they escape.
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
        // left encoded, it ends a URL
        Some(sign) if sign.is_control() || (sign != ' ' && sign.is_whitespace()) => return None,
        Some(sign) if sign.is_ascii() => sign as u8,
        // a character outside ASCII, or half of a surrogate pair: neither a mark nor the end of a URL
        _ => b'_',
    };
    Some((sign, slashes + 5))
}
