use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::Level;
use crate::level::filter::begins_with;
use crate::level::rate_limit::RateLimit;
use crate::render::head::RecordMeta;

/// Maximum number of events and targets that are limited separately; beyond it, new ones are not limited.
pub const MAX_LIMITED_EVENTS: usize = 4096;

/// Configured limits, and the buckets of events and targets seen so far.
#[derive(Debug)]
pub(crate) struct Limiter {
    events: RateLimit,
    targets: Vec<(String, RateLimit)>,
    hasher: RandomState,
    buckets: Mutex<HashMap<u64, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: SystemTime,
    suppressed: u64,
    /// Time after which it is full again, however many lines were taken.
    refilled_after: Duration,
}

/// Decision about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The line is written; this number of lines before it were suppressed.
    Write(u64),
    Suppress,
}

impl Limiter {
    /// Returns `None` if nothing is limited.
    pub(crate) fn new(events: RateLimit, targets: &[(String, RateLimit)]) -> Option<Self> {
        let targets: Vec<_> = targets
            .iter()
            .filter(|(_, limit)| !limit.is_off())
            .cloned()
            .collect();
        (!events.is_off() || !targets.is_empty()).then(|| Self {
            events,
            targets,
            hasher: RandomState::new(),
            buckets: Mutex::new(HashMap::new()),
        })
    }

    /// Decides about a line. Lines of level `critical` and this crate's own reports are always written.
    pub(crate) fn decide(&self, meta: &RecordMeta<'_>, logger: &str, at: SystemTime) -> Verdict {
        if meta.always || meta.level == Level::Critical {
            return Verdict::Write(0);
        }
        let names = |target: &str| {
            let is = |name: &str| {
                let rest = name.as_bytes().get(target.len()..);
                begins_with(name, target)
                    && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"::"))
            };
            is(logger) || meta.module.is_some_and(is)
        };
        let target = self.targets.iter().find(|(target, _)| names(target));
        let target = target.map(|(target, limit)| (self.hasher.hash_one(target), *limit));
        let of_target = target.map_or(Verdict::Write(0), |(key, limit)| self.take(key, limit, at));
        let Verdict::Write(hidden) = of_target else {
            return Verdict::Suppress;
        };
        if self.events.is_off() {
            return Verdict::Write(hidden);
        }
        // formatted text differs each time: such lines of a module are one event
        let event = (meta.level, logger, meta.module, meta.event.limited());
        match self.take(self.hasher.hash_one(event), self.events, at) {
            Verdict::Write(before) => Verdict::Write(hidden + before),
            Verdict::Suppress => {
                if let Some((key, _)) = target
                    && let Some(bucket) = self.buckets.lock().get_mut(&key)
                {
                    // counted in the next line that is written
                    bucket.suppressed += hidden;
                }
                Verdict::Suppress
            }
        }
    }

    fn take(&self, key: u64, limit: RateLimit, at: SystemTime) -> Verdict {
        let burst = f64::from(limit.burst);
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MAX_LIMITED_EVENTS && !buckets.contains_key(&key) {
            // a full bucket has no state to keep
            buckets.retain(|_, bucket| {
                let passed = at.duration_since(bucket.at).unwrap_or_default();
                bucket.suppressed > 0 || passed < bucket.refilled_after
            });
            if buckets.len() >= MAX_LIMITED_EVENTS {
                return Verdict::Write(0);
            }
        }
        let bucket = buckets.entry(key).or_insert_with(|| Bucket {
            tokens: burst,
            at,
            suppressed: 0,
            refilled_after: Duration::from_secs(u64::from(limit.burst / limit.per_second) + 1),
        });
        // setting the clock back does not add tokens
        let passed = at.duration_since(bucket.at).unwrap_or_default();
        bucket.tokens =
            (bucket.tokens + passed.as_secs_f64() * f64::from(limit.per_second)).min(burst);
        bucket.at = at;
        if bucket.tokens < 1.0 {
            bucket.suppressed += 1;
            return Verdict::Suppress;
        }
        bucket.tokens -= 1.0;
        Verdict::Write(std::mem::take(&mut bucket.suppressed))
    }
}
