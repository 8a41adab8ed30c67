//! Text as it may stand in a line.

/// Bytes that end a run which can be copied as it is.
const SPECIAL: [bool; 256] = special();

const fn special() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            byte < 0x20 || byte >= 0x7f || byte == b'"' as usize || byte == b'\\' as usize;
        byte += 1;
    }
    table
}

/// The inside of a JSON string: quotes, backslashes, control characters, line separators and marks that change the
/// direction of text are escaped, everything else stays.
#[inline]
pub(crate) fn json(text: &str, out: &mut Vec<u8>) {
    let plain = plain_prefix(text.as_bytes());
    out.extend_from_slice(&text.as_bytes()[..plain]);
    if plain < text.len() {
        escape(&text[plain..], out);
    }
}

/// How many bytes at the beginning need no look at all.
#[inline]
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let quote = zero_in(word ^ (ONES * b'"' as u64));
        let backslash = zero_in(word ^ (ONES * b'\\' as u64));
        let delete = zero_in(word ^ (ONES * 0x7f));
        if (word & HIGH) | below_space | quote | backslash | delete != 0 {
            break;
        }
        at += 8;
    }
    while at < bytes.len() && !SPECIAL[bytes[at] as usize] {
        at += 1;
    }
    at
}

#[cold]
fn escape(text: &str, out: &mut Vec<u8>) {
    let mut copied = 0;
    for (at, c) in text.char_indices() {
        if is_harmless(c) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[copied..at]);
        copied = at + c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c => unicode(c as u32, out),
        }
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
}

fn is_harmless(c: char) -> bool {
    !matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        && !c.is_control()
}

/// `\u001b`; what is escaped is below 0x10000.
pub(crate) fn unicode(code: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| HEX[(code >> shift & 15) as usize]));
}

/// Digits for bytes.
pub(crate) const HEX: [u8; 16] = *b"0123456789abcdef";

/// At most this many bytes of a text, cut between two characters.
pub(crate) fn cut(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
