//! Base64 of a value: in it stands the same text whatever comes before and behind it, but for a few signs at the ends.

/// Shortest text of base64 that is looked for.
const MIN_SIGNS: usize = 8;
/// Signs at the beginning that are no `+` and no `/`, if the value allows it: these have many forms in other encodings.
const PLAIN_SIGNS: usize = 4;
/// Signs that may be left out for it, in which are two characters of the value, and a part of a third one.
const MAX_LEFT_OUT: usize = 3;

const SIGNS: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns the texts of which one is in each base64 of something that the value is in: one for each number of bytes before it, modulo
/// three, in both alphabets of RFC 4648. Signs that other bytes have a part of are left out.
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

/// The signs that these bytes alone decide, behind so many others.
fn within(bytes: &[u8], before: usize) -> String {
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    // bits that belong to the sign of the bytes before: 8 are one sign and 2 bits of the next one, 16 are two and 4
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

/// The text without the first few signs, if it begins better so: with more signs that do not have many forms.
fn from_plain(mut text: String) -> String {
    let plain = |from: &usize| {
        let signs = text.bytes().skip(*from).take(PLAIN_SIGNS);
        signs.take_while(u8::is_ascii_alphanumeric).count()
    };
    let last = MAX_LEFT_OUT.min(text.len() - MIN_SIGNS);
    // the first one of those that are as good
    let from = (0..=last).rev().max_by_key(plain).unwrap_or(0);
    text.split_off(from)
}
