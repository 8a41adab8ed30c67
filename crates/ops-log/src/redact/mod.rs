//! Values that must not be in any line.

mod base64;
pub(crate) mod deny;
pub(crate) mod documents;
mod encoding;
mod pairs;
mod parts;
mod pattern;
pub(crate) mod scrub;
mod url;
mod words;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::redact::pattern::Patterns;

/// Minimum length of a value that can be registered: shorter ones would cut into ordinary text.
pub const MIN_REDACTED_BYTES: usize = 8;

/// Replacement for a hidden value.
pub const REDACTED: &str = "[REDACTED]";

/// Set while any value is registered.
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// Set when the values have changed since the patterns were built.
static STALE: AtomicBool = AtomicBool::new(false);
static PATTERNS: ArcSwapOption<Patterns> = ArcSwapOption::const_empty();
/// Registered values, each with its place in the order of registration.
static VALUES: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

/// Scrubs this value from every line from here on, in each form that escaping gives it: JSON and `Debug`, nested in each
/// other, percent-encoding (up to three times), HTML and base64 (of it alone or with something around it, but for a few signs at its
/// ends, and without line breaks). Each line of a value with several lines is scrubbed too, and so are the
/// secrets within it: what a JSON document has under [`DENIED_KEYS`](crate::DENIED_KEYS), and passwords and tokens in URLs and
/// connection strings.
///
/// A value shorter than [`MIN_REDACTED_BYTES`] is ignored. The next line that is written builds the search anew, once for all values
/// that are registered then: some 10 to 40 µs for each of them, in which other lines wait. Register many of them together.
pub fn redact(value: &str) {
    if value.len() < MIN_REDACTED_BYTES {
        return;
    }
    let mut values = VALUES.lock();
    let order = values.len() as u64;
    values.entry(value.to_owned()).or_insert(order);
    STALE.store(true, Ordering::Release);
    ACTIVE.store(true, Ordering::Release);
}

/// Stops scrubbing this value.
pub fn unredact(value: &str) {
    let mut values = VALUES.lock();
    if values.remove(value).is_some() {
        STALE.store(true, Ordering::Release);
        ACTIVE.store(!values.is_empty(), Ordering::Release);
    }
}

/// Lets the search be built anew: the list of denied keys is another one.
pub(crate) fn outdate() {
    // a search that is being built with the old list must not count as the new one
    let _values = VALUES.lock();
    STALE.store(true, Ordering::Release);
}

/// Returns the text as a field of a line would have it: without registered values, credentials in URLs, connection strings and
/// cookies, and without what is under denied keys in JSON and in what `Debug` shows; `None` if it holds none.
pub fn redacted(text: &str) -> Option<String> {
    if !scrub::may_be_needed_in(text) {
        return None;
    }
    deny::with_current(|deny| documents::hidden(text, deny))
}

/// Reports whether any value is registered.
#[inline]
fn is_active() -> bool {
    ACTIVE.load(Ordering::Acquire)
}

/// The patterns of the registered values, built anew if values were registered or retired since.
fn patterns() -> Option<Arc<Patterns>> {
    if !is_active() {
        return None;
    }
    if STALE.load(Ordering::Acquire) {
        // other threads wait meanwhile: no line gets by with the old patterns
        let values = VALUES.lock();
        if STALE.load(Ordering::Acquire) {
            PATTERNS.store(Patterns::new(values.keys()).map(Arc::new));
            STALE.store(false, Ordering::Release);
        }
    }
    PATTERNS.load_full()
}

/// Number of bytes that the longest form of a registered value may take; 0 if none is registered.
///
/// A value that is cut keeps this much more until it has been scrubbed.
#[inline]
pub(crate) fn longest_form() -> usize {
    if !is_active() {
        return 0;
    }
    patterns().map_or(0, |patterns| patterns.longest_form())
}
