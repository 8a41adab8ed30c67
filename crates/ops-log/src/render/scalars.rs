//! Numbers, truth values and text as JSON.

use std::borrow::Cow;

use crate::redact::scrub;
use crate::{escape, redact};

/// The longest value, in bytes before escaping; what is longer is cut and says how much is missing.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

#[inline]
pub(crate) fn boolean(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

#[inline]
pub(crate) fn integer(value: impl itoa::Integer + TryInto<u32> + Copy, out: &mut Vec<u8>) {
    let digit = |number: u32| b'0' + (number % 10) as u8;
    match value.try_into() {
        // statuses, counts and milliseconds are mostly this small
        Ok(n @ ..10) => out.push(digit(n)),
        Ok(n @ ..100) => out.extend_from_slice(&[digit(n / 10), digit(n)]),
        Ok(n @ ..1000) => out.extend_from_slice(&[digit(n / 100), digit(n / 10), digit(n)]),
        Ok(n @ ..100_000_000) => short_number(n, out),
        _ => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

/// Up to eight digits, computed side by side in the bytes of a word, so that they reach the line in one piece.
#[inline]
fn short_number(number: u32, out: &mut Vec<u8>) {
    // each step halves its parts: four digits, two, one; the leading ones are in the lowest byte
    let fours = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | (twos - 10 * tens) << 8;
    // the last digit stays, even if it is a zero
    let zeros = (digits | 1 << 56).trailing_zeros() / 8;
    let text = (digits | 0x3030_3030_3030_3030) >> (zeros * 8);
    let start = out.len();
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(start + 8 - zeros as usize);
}

/// The shortest digits that read back as the same number; `null` where there is none.
#[inline]
pub(crate) fn float(value: impl zmij::Float + Into<f64>, out: &mut Vec<u8>) {
    let wide = value.into();
    if !wide.is_finite() {
        return out.extend_from_slice(b"null");
    }
    match Thousandths::of(wide) {
        Some(short) => short.write(out),
        None => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
    }
}

/// A number with at most three decimals, as ratios and durations mostly are. These are its shortest digits: no two
/// decimals of 15 digits or fewer are the same `f64`.
struct Thousandths(u32);

impl Thousandths {
    #[inline]
    fn of(value: f64) -> Option<Self> {
        let thousandths = (value * 1000.0) as u32;
        let exact = f64::from(thousandths) / 1000.0 == value && value.is_sign_positive();
        (exact && thousandths < 100_000_000).then_some(Self(thousandths))
    }

    #[inline]
    fn write(self, out: &mut Vec<u8>) {
        let digit = |number: u32| b'0' + (number % 10) as u8;
        integer(self.0 / 1000, out);
        let part = self.0 % 1000;
        let decimals = [b'.', digit(part / 100), digit(part / 10), digit(part)];
        match (part % 10, part % 100) {
            (_, 0) => out.extend_from_slice(&decimals[..2]),
            (0, _) => out.extend_from_slice(&decimals[..3]),
            _ => out.extend_from_slice(&decimals),
        }
    }
}

/// A JSON string; true where it was too long and had to be cut.
#[inline]
pub(crate) fn text(value: &str, out: &mut Vec<u8>) -> bool {
    if value.len() > MAX_VALUE_BYTES {
        cut_text(value, value.len(), out);
        return true;
    }
    out.push(b'"');
    if !escape::copy_short(value, out) {
        escape::json(value, out);
    }
    out.push(b'"');
    false
}

/// Writes the text behind an opening quote, and the closing one; true where there may be a URL or a query in it.
#[inline]
pub(crate) fn quoted(value: &str, out: &mut Vec<u8>) -> bool {
    let has_url = !escape::copy_short(value, out) && has_url_escaped(value, out);
    out.push(b'"');
    has_url
}

#[inline(never)]
fn has_url_escaped(value: &str, out: &mut Vec<u8>) -> bool {
    escape::json(value, out);
    scrub::has_url(value.as_bytes())
}

/// A JSON string of a text's beginning, which says how many of `whole` bytes are missing.
#[cold]
pub(crate) fn cut_text(value: &str, whole: usize, out: &mut Vec<u8>) {
    let kept = kept(value, whole, MAX_VALUE_BYTES);
    out.push(b'"');
    escape::json(&kept, out);
    out.extend_from_slice("…[truncated ".as_bytes());
    integer(whole.saturating_sub(kept.len()) as u64, out);
    out.extend_from_slice(b"]\"");
}

/// The beginning of a text of which `whole` bytes were given, scrubbed before it is cut: of a value that the cut would go
/// through nothing is left.
#[cold]
pub(crate) fn kept(value: &str, whole: usize, longest: usize) -> Cow<'_, str> {
    let overhang = overhang();
    let seen = escape::cut(value, longest + overhang);
    let Some(scrubbed) = redact::redacted(seen) else {
        return Cow::Borrowed(escape::cut(seen, longest));
    };
    // the end of what was seen may be the beginning of a value
    let end = if seen.len() < whole {
        longest.min(scrubbed.len().saturating_sub(overhang))
    } else {
        longest
    };
    Cow::Owned(escape::cut(&scrubbed, end).to_owned())
}

/// Number of bytes behind the longest value that are looked at before it is cut.
pub(crate) fn overhang() -> usize {
    redact::longest_form().max(MIN_OVERHANG_BYTES)
}

/// Room for the credentials of a URL.
const MIN_OVERHANG_BYTES: usize = 1024;
