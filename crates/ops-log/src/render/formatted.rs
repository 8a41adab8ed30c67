//! Values that are formatted by somebody else's code.

use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::escape;
use crate::redact::deny::DenyList;
use crate::redact::documents;
use crate::render::losses::Counters;
use crate::render::scalars::{self, MAX_VALUE_BYTES};

/// In place of a value that panicked.
pub(crate) const PANICKED: &str = "<panic in fmt>";

/// A formatted text: its beginning, and how long it was.
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
        // once something was cut nothing follows
        if self.whole == self.text.len() {
            self.text.push_str(escape::cut(part, room));
        }
        self.whole += part.len();
        Ok(())
    }
}

impl Formatted<'_> {
    /// The same without values under denied keys, if it is a JSON document.
    #[inline]
    pub(crate) fn without_denied(self, deny: &DenyList) -> Self {
        if documents::is_one(self.text.as_bytes()) {
            return self.document(deny);
        }
        self
    }

    #[cold]
    fn document(mut self, deny: &DenyList) -> Self {
        if let Some(hidden) = documents::hidden(self.text, deny) {
            self.whole = self.whole.saturating_sub(self.text.len()) + hidden.len();
            *self.text = hidden;
        }
        self
    }

    /// As a JSON string; true where it was cut.
    pub(crate) fn write(&self, json: &mut Vec<u8>) -> bool {
        if self.whole > MAX_VALUE_BYTES {
            scalars::cut_text(self.text, self.whole, json);
            return true;
        }
        scalars::text(self.text, json)
    }
}

/// Formats into a buffer, and survives what panics or fails.
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

/// Formats a text to keep; a value that panics is replaced by [`PANICKED`].
pub(crate) fn formatted_text(arguments: &fmt::Arguments<'_>, counters: &Counters) -> String {
    let mut text = String::new();
    let whole = formatted(&mut text, arguments, counters).whole;
    if whole > MAX_VALUE_BYTES {
        let kept = scalars::kept(&text, whole, MAX_VALUE_BYTES);
        return format!("{kept}…[truncated {}]", whole.saturating_sub(kept.len()));
    }
    text
}
