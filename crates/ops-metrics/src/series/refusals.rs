use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use crate::series::label::Label as _;
use crate::series::rejected::RejectReason;

/// Maximum number of metrics whose refusals are counted separately; those of further metrics are counted as `other`.
const METRICS_MAX: usize = 500;
/// Maximum number of different refusals that are logged; further ones are only counted.
const LOGGED_MAX: usize = 1000;
/// Maximum length of a refused name in bytes; a longer name is cut.
const NAME_BYTES_MAX: usize = 256;

/// Refused names and label sets: counted each time, logged once.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    counts: HashMap<(Box<str>, RejectReason), u64>,
    logged: HashSet<Box<str>>,
}

impl Refusals {
    /// Counts a refusal; returns true if it is the first one for this reason and key, which the caller logs.
    #[cold]
    pub(crate) fn count(&self, metric: &str, reason: RejectReason, key: &str) -> bool {
        let mut known = self.0.lock();
        // an empty name is not a valid label value
        let metric = match cut(metric, NAME_BYTES_MAX) {
            "" => "other",
            metric => metric,
        };
        let full = known.counts.len() >= METRICS_MAX;
        let counted = (Box::from(metric), reason);
        match known.counts.get_mut(&counted) {
            Some(count) => *count += 1,
            None if full => *known.counts.entry(("other".into(), reason)).or_default() += 1,
            None => {
                known.counts.insert(counted, 1);
            }
        }
        let key = format!("{}\n{key}", reason.text());
        known.logged.len() < LOGGED_MAX && known.logged.insert(key.into())
    }

    /// Returns metric, reason and count of each refusal.
    pub(crate) fn counts(&self) -> Vec<(Box<str>, RejectReason, u64)> {
        let known = self.0.lock();
        let all = known.counts.iter();
        all.map(|((metric, reason), count)| (metric.clone(), *reason, *count))
            .collect()
    }
}

/// Cuts a text at a character boundary, to at most this many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or_default()
}
