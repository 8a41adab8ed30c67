//! Base64 forms of a value: they are the same whatever bytes
//! surround the value, except for a few characters at the ends.

/// Minimum length of a base64 text that is searched for.
const MIN_SIGNS: usize = 8;
/// Number of leading characters that should be neither `+` nor `/`,
/// if the value allows it: those have many forms in other encodings.
const PLAIN_SIGNS: usize = 4;
/// Maximum number of leading characters left out for that; they
/// encode two bytes of the value, and a part of a third one.
const MAX_LEFT_OUT: usize = 3;

const SIGNS: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns texts, one of which occurs in the base64 of any data that contains the
/// value: one for each number of preceding bytes modulo three, in both alphabets
/// of RFC 4648. Characters that depend on other bytes too are left out.
pub(super) fn of(value: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for before in 0..3 {
        let text = within(value.as_bytes(), before);
        if text.len() < MIN_SIGNS {
            continue;
        }
        if text.contains(['+', '/']) {
            texts.push(text.replace('+', "-").replace('/', "_"));
        }
        texts.push(from_plain(text));
    }
    texts
}

/// Returns the characters that depend on these bytes alone, if `before` other bytes precede them.
fn within(bytes: &[u8], before: usize) -> String {
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    // bits that share a character with preceding bytes: 8 bits are
    // one character and 2 bits of the next one, 16 are two and 4
    let mut skipped = [0, 4, 2][before % 3];
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8 - std::mem::take(&mut skipped);
        while count >= 6 {
            count -= 6;
            text.push(char::from(SIGNS[(bits >> count & 63) as usize]));
        }
    }
    text
}

/// Removes a few leading characters, if the text then starts with more characters that have few forms.
fn from_plain(mut text: String) -> String {
    let plain = |from: &usize| {
        let signs = text.bytes().skip(*from).take(PLAIN_SIGNS);
        signs.take_while(u8::is_ascii_alphanumeric).count()
    };
    let last = MAX_LEFT_OUT.min(text.len() - MIN_SIGNS);
    // the first of equally good positions
    let from = (0..=last).rev().max_by_key(plain).unwrap_or(0);
    text.split_off(from)
}
