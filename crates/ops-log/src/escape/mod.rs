//! Escaping of text for lines.

/// Bytes that may need escaping; all others are copied unchanged.
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

/// Writes the inside of a JSON string: quotes, backslashes, control characters, line separators
/// and marks that change the direction of text are escaped, everything else is unchanged.
#[inline]
pub(crate) fn json(text: &str, out: &mut Vec<u8>) {
    let plain = plain_prefix(text.as_bytes());
    out.extend_from_slice(&text.as_bytes()[..plain]);
    if plain < text.len() {
        escape(&text[plain..], out);
    }
}

/// Maximum length of a text that [`short`] copies, in bytes.
pub(crate) const MAX_SHORT_BYTES: usize = 32;

/// Copies text that needs no escaping and cannot contain a URL or query, and returns
/// its length; `None` if it is longer than [`MAX_SHORT_BYTES`] or needs a closer check.
///
/// Copies of a fixed length, which may overlap, are cheaper than calls. Bytes that were just
/// written in pieces are slow to read as a whole, so everything goes from registers to the line.
#[inline(always)]
pub(crate) fn short(text: &str, out: &mut [u8; MAX_SHORT_BYTES]) -> Option<usize> {
    let bytes = text.as_bytes();
    let plain = match bytes.len() {
        33.. => return None,
        17.. => are_simple(copy_ends::<16>(bytes, out)?),
        8.. => are_simple(copy_ends::<8>(bytes, out)?),
        4.. => are_simple(copy_ends::<4>(bytes, out)?),
        _ => {
            match bytes {
                [a, b, c] => out[..3].copy_from_slice(&[*a, *b, *c]),
                [a, b] => out[..2].copy_from_slice(&[*a, *b]),
                [a] => out[0] = *a,
                _ => {}
            }
            is_simple_word(short_word(bytes))
        }
    };
    plain.then_some(bytes.len())
}

/// Copies `N` to `2 * N` bytes: the first `N` and the last `N`.
#[inline(always)]
fn copy_ends<'a, const N: usize>(
    bytes: &'a [u8],
    out: &mut [u8; MAX_SHORT_BYTES],
) -> Option<(&'a [u8; N], &'a [u8; N])> {
    let (first, last) = ends(bytes)?;
    *out.first_chunk_mut()? = *first;
    *out.get_mut(bytes.len() - N..)?.first_chunk_mut()? = *last;
    Some((first, last))
}

/// Returns the first and the last `N` bytes, which may overlap.
#[inline(always)]
fn ends<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
    Some((bytes.first_chunk()?, bytes.last_chunk()?))
}

/// Checks all bytes without branches, so that the compiler uses vector instructions.
#[inline(always)]
fn are_simple<const N: usize>((first, last): (&[u8; N], &[u8; N])) -> bool {
    let mut simple = true;
    for (first, last) in first.iter().zip(last) {
        simple &= is_simple_byte(*first) & is_simple_byte(*last);
    }
    simple
}

/// Appends a text as by [`short`], in quotes; on `false` the line is unchanged.
#[inline(always)]
pub(crate) fn quote_short(text: &str, out: &mut Vec<u8>) -> bool {
    const ROOM: usize = 1 + MAX_SHORT_BYTES + 15;
    let start = out.len();
    out.extend_from_slice(&[b'"'; ROOM]);
    let inside = (out.last_chunk_mut::<ROOM>()).and_then(|room| room[1..].first_chunk_mut());
    let Some(len) = inside.and_then(|inside| short(text, inside)) else {
        out.truncate(start);
        return false;
    };
    // the closing quote is there already
    out.truncate(start + len + 2);
    true
}

/// Returns `true` for a byte that needs no escaping in a JSON
/// string, and is neither `#` nor in the range from `:` to `?`.
#[inline(always)]
const fn is_simple_byte(byte: u8) -> bool {
    // `"` and `#` differ in one bit
    let is_plain =
        (byte as i8 >= b' ' as i8) & (byte != 0x7f) & (byte | 1 != b'#') & (byte != b'\\');
    is_plain & (byte.wrapping_sub(b':') > b'?' - b':')
}

/// Returns `true` if the text needs no escaping in a JSON string.
#[inline]
pub(crate) fn is_plain(text: &str) -> bool {
    let (words, tail) = text.as_bytes().as_chunks();
    words
        .iter()
        .all(|word| is_plain_word(u64::from_le_bytes(*word)))
        && is_plain_word(short_word(tail))
}

/// Returns `true` if the text needs no escaping in a JSON string and has
/// no mark of a URL or a query: neither `#` nor a byte from `:` to `?`.
#[inline]
pub(crate) fn is_simple(bytes: &[u8]) -> bool {
    match bytes.len() {
        16.. => {
            let (blocks, _) = bytes.as_chunks::<16>();
            let mut blocks = blocks.iter().chain(bytes.last_chunk());
            blocks.all(|block| are_simple((block, block)))
        }
        8.. => ends::<8>(bytes).is_some_and(are_simple),
        4.. => ends::<4>(bytes).is_some_and(are_simple),
        _ => is_simple_word(short_word(bytes)),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Returns `true` if none of eight bytes may need escaping. A sum carries into the
/// next byte only if a byte is not ASCII, and then the result is `false` anyway.
#[inline]
fn is_plain_word(word: u64) -> bool {
    let from_space = word.wrapping_add(ONES * 0x60);
    let no_quote = (word ^ (ONES * b'"' as u64)).wrapping_add(ONES * 0x7f);
    let no_backslash = (word ^ (ONES * b'\\' as u64)).wrapping_add(ONES * 0x7f);
    let from_delete = word.wrapping_add(ONES);
    (word | from_delete | !(from_space & no_quote & no_backslash)) & HIGH == 0
}

/// Like [`is_plain_word`], and `true` only without `#` and bytes from `:`
/// to `?`: a URL has a colon, a query or a fragment one of the others.
#[inline]
fn is_simple_word(word: u64) -> bool {
    let from_colon = word.wrapping_add(ONES * (0x80 - b':' as u64));
    let above_question = word.wrapping_add(ONES * (0x7f - b'?' as u64));
    let no_hash = (word ^ (ONES * b'#' as u64)).wrapping_add(ONES * 0x7f);
    is_plain_word(word) & ((from_colon & !above_question | !no_hash) & HIGH == 0)
}

/// Same as [`is_plain`], at compile time.
pub(crate) const fn is_plain_const(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if SPECIAL[bytes[at] as usize] {
            return false;
        }
        at += 1;
    }
    true
}

/// Returns the number of leading bytes that need no closer check.
fn plain_prefix(bytes: &[u8]) -> usize {
    let mut at = 0;
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        if !is_plain_word(u64::from_le_bytes(*word)) {
            return at + special_at(word);
        }
        at += 8;
    }
    if is_plain_word(short_word(tail)) {
        bytes.len()
    } else {
        at + special_at(tail)
    }
}

/// Packs up to seven bytes into a word: some bytes may occur twice, and spaces fill the rest.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    let spaces = ONES * u64::from(b' ');
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    match bytes {
        [a, b, c] => u64::from(u32::from_le_bytes([*a, *b, *c, b' '])) | spaces & !0xffff_ffff,
        [a, b] => u64::from(u16::from_le_bytes([*a, *b])) | spaces & !0xffff,
        [a] => u64::from(*a) | spaces & !0xff,
        _ => spaces,
    }
}

fn special_at(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| SPECIAL[*byte as usize])
        .unwrap_or(bytes.len())
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
    !matches!(c, '"' | '\\' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        && !c.is_control()
}

/// Writes an escape such as `\u001b`; escaped characters are below 0x10000.
fn unicode(code: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| HEX[(code >> shift & 15) as usize]));
}

/// Hexadecimal digits.
pub(crate) const HEX: [u8; 16] = *b"0123456789abcdef";

/// Writes up to 16 bytes as hexadecimal digits, and returns the digits.
pub(crate) fn hex<'a>(bytes: &[u8], digits: &'a mut [u8; 32]) -> &'a str {
    let (pairs, _) = digits.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    }
    let end = digits.len().min(2 * bytes.len());
    std::str::from_utf8(&digits[..end]).unwrap_or_default()
}

/// Returns `true` if the text has a colon, a semicolon, a question mark or a `#`.
pub(crate) const fn has_url_marks(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if matches!(bytes[at], b':' | b';' | b'?' | b'#') {
            return true;
        }
        at += 1;
    }
    false
}

/// Returns at most this many bytes of a text, cut at a character boundary.
pub(crate) fn cut(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
