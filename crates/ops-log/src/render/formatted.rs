//! Values formatted by application code.

use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::escape;
use crate::redact::deny::DenyList;
use crate::render::losses::Counters;
use crate::render::scalars::{self, MAX_VALUE_BYTES};

/// Maximum length of `…[truncated N]` in bytes.
const MAX_MARK_BYTES: usize = 48;

/// Text written for a value that panicked.
pub(crate) const PANICKED: &str = "<panic in fmt>";

/// Formatted text: its start, and its whole length.
pub(crate) struct Formatted<'a> {
    text: &'a mut String,
    whole: usize,
}

impl fmt::Write for Formatted<'_> {
    #[inline]
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let longest = if self.text.len() + part.len() > MAX_VALUE_BYTES {
            MAX_VALUE_BYTES + scalars::overhang()
        } else {
            MAX_VALUE_BYTES
        };
        let room = longest.saturating_sub(self.text.len());
        // once something was cut, nothing is added
        if self.whole == self.text.len() {
            self.text.push_str(escape::cut(part, room));
        }
        self.whole += part.len();
        Ok(())
    }
}

impl Formatted<'_> {
    /// Writes a JSON string, without values under denied keys of JSON documents in it; returns `true` if it was cut.
    pub(crate) fn write(&self, deny: &DenyList, json: &mut Vec<u8>) -> bool {
        if scalars::has_document(self.text, deny) {
            return scalars::document(self.text, self.whole, deny, json);
        }
        if self.whole > MAX_VALUE_BYTES {
            return scalars::cut_text(self.text, self.whole, json);
        }
        scalars::text(self.text, json)
    }
}

/// Formats into a buffer; a panic or an error is caught.
pub(crate) fn formatted<'a>(
    text: &'a mut String,
    arguments: &fmt::Arguments<'_>,
    counters: &Counters,
) -> Formatted<'a> {
    text.clear();
    let mut formatted = Formatted { text, whole: 0 };
    let result = crate::render::callback::quietly(|| {
        catch_unwind(AssertUnwindSafe(|| formatted.write_fmt(*arguments)))
    });
    let problem = match result {
        Ok(Ok(())) => return formatted,
        Ok(Err(_)) => "<error in fmt>",
        Err(_) => PANICKED,
    };
    counters.value_error();
    formatted.text.clear();
    formatted.text.push_str(problem);
    formatted.whole = problem.len();
    formatted
}

/// Formats a text to be kept; a value that panics is replaced by [`PANICKED`].
pub(crate) fn formatted_text(arguments: &fmt::Arguments<'_>, counters: &Counters) -> String {
    let mut text = String::new();
    let whole = formatted(&mut text, arguments, counters).whole;
    if whole > MAX_VALUE_BYTES {
        // with the mark it is no longer than other values, so it is not cut again
        let kept = scalars::kept(&text, whole, MAX_VALUE_BYTES - MAX_MARK_BYTES);
        return format!("{kept}…[truncated {}]", whole.saturating_sub(kept.len()));
    }
    text
}
