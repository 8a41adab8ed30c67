//! Numbers, booleans and text as JSON.

use std::borrow::Cow;

use crate::redact::deny::DenyList;
use crate::redact::{documents, scrub};
use crate::{escape, redact};

/// Maximum length of a value, in bytes before escaping; a longer value is cut, with the number of missing bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

#[inline]
pub(crate) fn boolean(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Exclusive limit of short numbers: most statuses, counts and milliseconds are below it.
pub(crate) const SHORT_NUMBERS: u32 = 100_000_000;

#[inline]
pub(crate) fn integer(value: impl itoa::Integer + TryInto<u32> + Copy, out: &mut Vec<u8>) {
    match value.try_into() {
        Ok(number @ ..SHORT_NUMBERS) => {
            let (digits, count) = short_number(number);
            let start = out.len();
            out.extend_from_slice(&digits);
            out.truncate(start + count);
        }
        _ => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

/// Returns up to eight digits and their number, computed in parallel in the bytes of a word,
/// so that they are written to the line at once. The bytes after them have no meaning.
#[inline(always)]
pub(crate) fn short_number(number: u32) -> ([u8; 8], usize) {
    let digit = |number: u32| (b'0' + (number % 10) as u8).into();
    match number {
        0..10 => (u64::to_le_bytes(digit(number)), 1),
        10..100 => ((digit(number / 10) | digit(number) << 8).to_le_bytes(), 2),
        _ => {
            // each step splits the parts: four digits, two, one; the leading ones are in the lowest byte
            let fours = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
            let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
            let twos = hundreds | (fours - 100 * hundreds) << 16;
            let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
            let digits = tens | (twos - 10 * tens) << 8;
            // the last digit stays, even if it is zero
            let zeros = (digits | 1 << 56).trailing_zeros() / 8;
            let text = (digits | 0x3030_3030_3030_3030) >> (zeros * 8);
            (text.to_le_bytes(), 8 - zeros as usize)
        }
    }
}

/// Writes the shortest digits that parse to the same number; `null` if it is not finite.
#[inline]
pub(crate) fn float(value: impl zmij::Float + Into<f64>, out: &mut Vec<u8>) {
    let wide = value.into();
    if !wide.is_finite() {
        return out.extend_from_slice(b"null");
    }
    match thousandths(wide) {
        Some((whole, part)) => {
            integer(whole, out);
            let (decimals, used) = decimals(part);
            out.extend_from_slice(&decimals[..used]);
        }
        None => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
    }
}

/// Returns whole and thousandths of a number with at most three decimals, such as most ratios and
/// durations. These are its shortest digits: different decimals of up to 15 digits are different `f64`s.
#[inline(always)]
pub(crate) fn thousandths(value: f64) -> Option<(u32, u32)> {
    let thousandths = (value * 1000.0) as u32;
    let exact = f64::from(thousandths) / 1000.0 == value && value.is_sign_positive();
    (exact && thousandths < SHORT_NUMBERS).then_some((thousandths / 1000, thousandths % 1000))
}

/// Returns the point and three digits after it, and the number of bytes used.
#[inline(always)]
pub(crate) fn decimals(part: u32) -> ([u8; 4], usize) {
    let digit = |number: u32| b'0' + (number % 10) as u8;
    let used = match (part % 10, part % 100) {
        (_, 0) => 2,
        (0, _) => 3,
        _ => 4,
    };
    let bytes = [b'.', digit(part / 100), digit(part / 10), digit(part)];
    (bytes, used)
}

/// Writes a JSON string; returns `true` if it was too long and had to be cut.
#[inline]
pub(crate) fn text(value: &str, out: &mut Vec<u8>) -> bool {
    if value.len() > MAX_VALUE_BYTES {
        return cut_text(value, value.len(), out);
    }
    if !escape::quote_short(value, out) {
        out.push(b'"');
        escape::json(value, out);
        out.push(b'"');
    }
    false
}

/// Writes text in quotes; returns `true` if it may contain a URL or a query.
#[inline]
pub(crate) fn quoted(value: &str, out: &mut Vec<u8>) -> bool {
    !escape::quote_short(value, out) && has_url_quoted(value, out)
}

#[inline(never)]
fn has_url_quoted(value: &str, out: &mut Vec<u8>) -> bool {
    out.push(b'"');
    escape::json(value, out);
    out.push(b'"');
    scrub::has_url(value.as_bytes())
}

/// Returns `true` if the checked part of a text has a JSON document.
#[inline]
pub(crate) fn has_document(value: &str, deny: &DenyList) -> bool {
    let seen = match value.len() {
        ..=MAX_VALUE_BYTES => value,
        _ => escape::cut(value, MAX_VALUE_BYTES + overhang()),
    };
    documents::may_have_denied(seen.as_bytes(), deny)
}

/// Writes a text of `whole` bytes, of which `value` is the start, as a JSON string without
/// values under denied keys of JSON documents in it; returns `true` if it was cut.
#[cold]
pub(crate) fn document(value: &str, whole: usize, deny: &DenyList, out: &mut Vec<u8>) -> bool {
    let hide = |text: &str| documents::hidden(text, deny);
    beginning(value, whole, MAX_VALUE_BYTES, hide).write(out)
}

/// Writes the start of a text as a JSON string, with the number of
/// bytes missing of the `whole`; returns `true` if some are missing.
#[cold]
pub(crate) fn cut_text(value: &str, whole: usize, out: &mut Vec<u8>) -> bool {
    beginning(value, whole, MAX_VALUE_BYTES, redact::redacted).write(out)
}

/// Returns the start of a text of `whole` bytes, redacted before
/// it is cut, so that no part of a secret at the cut is left.
#[cold]
pub(crate) fn kept(value: &str, whole: usize, longest: usize) -> Cow<'_, str> {
    beginning(value, whole, longest, redact::redacted).text
}

/// Start of a text, and the number of bytes missing after it.
struct Beginning<'a> {
    text: Cow<'a, str>,
    missing: usize,
}

impl Beginning<'_> {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.push(b'"');
        escape::json(&self.text, out);
        if self.missing > 0 {
            out.extend_from_slice("…[truncated ".as_bytes());
            integer(self.missing as u64, out);
            out.push(b']');
        }
        out.push(b'"');
        self.missing > 0
    }
}

/// Returns the start of a text without secrets, which are searched for before the text is cut.
fn beginning<'a>(
    value: &'a str,
    whole: usize,
    longest: usize,
    hide: impl Fn(&str) -> Option<String>,
) -> Beginning<'a> {
    let overhang = overhang();
    let seen = escape::cut(value, longest + overhang);
    let Some(mut text) = hide(seen) else {
        let text = escape::cut(seen, longest);
        return Beginning {
            missing: whole.saturating_sub(text.len()),
            text: Cow::Borrowed(text),
        };
    };
    let unseen = whole.saturating_sub(seen.len());
    let sure = match unseen {
        0 => text.len(),
        // the last bytes may start a secret that was not seen whole: keep only what does not depend on them
        _ => {
            let shorter = escape::cut(seen, seen.len().saturating_sub(overhang));
            let hidden = hide(shorter);
            let shorter = hidden.as_deref().unwrap_or(shorter).bytes();
            text.bytes()
                .zip(shorter)
                .take_while(|(a, b)| a == b)
                .count()
        }
    };
    let kept = escape::cut(&text, sure.min(longest)).len();
    let missing = unseen + text.len() - kept;
    text.truncate(kept);
    Beginning {
        text: Cow::Owned(text),
        missing,
    }
}

/// Returns the number of bytes checked beyond the maximum length before a value is cut.
pub(crate) fn overhang() -> usize {
    redact::longest_form().max(MIN_OVERHANG_BYTES)
}

/// Minimum of that number, in bytes: space for the credentials of a URL.
const MIN_OVERHANG_BYTES: usize = 1024;
