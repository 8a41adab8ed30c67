//! Compute times by kind of statement.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use twox_hash::XxHash3_128;

/// Maximum number of kinds that are remembered; at one more, all are dropped.
const MAX_KINDS: usize = 8192;

/// Compute time of each kind: a statement without its literals,
/// or a function. Decides if asking other machines pays off.
#[derive(Default)]
pub(super) struct Costs(Mutex<HashMap<u128, Duration>>);

impl Costs {
    /// Records a run. A slow run counts at once, and is forgotten over about ten quick ones.
    pub(super) fn learn(&self, kind: &str, compute: Duration) {
        let mut costs = self.0.lock();
        if costs.len() >= MAX_KINDS {
            costs.clear();
        }
        let cost = costs.entry(hash(kind)).or_default();
        *cost = compute.max(*cost * 3 / 4);
    }

    /// Returns the recent compute time of this kind; `None` if unknown.
    pub(super) fn of(&self, kind: &str) -> Option<Duration> {
        self.0.lock().get(&hash(kind)).copied()
    }
}

fn hash(kind: &str) -> u128 {
    XxHash3_128::oneshot(kind.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_run_counts_at_once_and_is_forgotten_over_quick_ones() {
        let (costs, ms) = (Costs::default(), Duration::from_millis);
        assert_eq!(costs.of("a"), None);
        costs.learn("a", ms(1));
        costs.learn("a", ms(400));
        assert_eq!(costs.of("a"), Some(ms(400)));
        costs.learn("a", ms(1));
        assert_eq!(costs.of("a"), Some(ms(300)));
        for _ in 0..20 {
            costs.learn("a", ms(1));
        }
        assert!(costs.of("a") < Some(ms(3)));
        assert_eq!(costs.of("b"), None);
    }
}
