//! Redaction of values that must not appear in any line.

mod base64;
pub(crate) mod deny;
pub(crate) mod documents;
mod encoding;
mod labels;
mod markup;
mod names;
mod notations;
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

/// Set while values are registered.
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// Set when the values changed after the patterns were built.
static STALE: AtomicBool = AtomicBool::new(false);
static PATTERNS: ArcSwapOption<Patterns> = ArcSwapOption::const_empty();
/// Registered values, each with its number in the order of registration.
static VALUES: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

/// Redacts this value in all lines from now on, in each form that escaping gives it: JSON and `Debug`, also
/// nested, percent-encoding (up to three times), HTML and base64 (also as part of larger data, except for a
/// few characters at its ends, and without line breaks). The lines of a value with several lines are redacted
/// separately too, and so are the secrets within it: values under [`DENIED_KEYS`](crate::DENIED_KEYS) in a
/// JSON document, and passwords and tokens in URLs and connection strings.
///
/// A value shorter than [`MIN_REDACTED_BYTES`] is ignored. The next line rebuilds the search once for all values
/// registered by then, which takes 10 to 40 µs per value and blocks other lines: register many values together.
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

/// Stops redacting this value.
pub fn unredact(value: &str) {
    let mut values = VALUES.lock();
    if values.remove(value).is_some() {
        STALE.store(true, Ordering::Release);
        ACTIVE.store(!values.is_empty(), Ordering::Release);
    }
}

/// Marks the search as outdated, because the list of denied keys changed.
pub(crate) fn outdate() {
    // a search that is being built with the old list must not count as up to date
    let _values = VALUES.lock();
    STALE.store(true, Ordering::Release);
}

/// Returns the text as a field of a line would contain it: without registered
/// values, credentials in URLs, connection strings, cookies, headers and form bodies, and
/// values under denied keys in JSON and `Debug` output. `None` if there is nothing to redact.
pub fn redacted(text: &str) -> Option<String> {
    if !scrub::may_be_needed_in(text) {
        return None;
    }
    deny::with_current(|deny| documents::hidden(text, deny))
}

/// Returns `true` if values are registered.
#[inline]
fn is_active() -> bool {
    ACTIVE.load(Ordering::Acquire)
}

/// Returns the patterns of the registered values, rebuilt if the values changed.
fn patterns() -> Option<Arc<Patterns>> {
    if !is_active() {
        return None;
    }
    if STALE.load(Ordering::Acquire) {
        // other threads wait meanwhile, so that no line is checked with the old patterns
        let values = VALUES.lock();
        if STALE.load(Ordering::Acquire) {
            PATTERNS.store(Patterns::new(values.keys()).map(Arc::new));
            STALE.store(false, Ordering::Release);
        }
    }
    PATTERNS.load_full()
}

/// Returns the maximum length of a form of a registered value in bytes; 0 if none is registered.
///
/// A value that is cut keeps this many more bytes until it is redacted.
#[inline]
pub(crate) fn longest_form() -> usize {
    if !is_active() {
        return 0;
    }
    patterns().map_or(0, |patterns| patterns.longest_form())
}
