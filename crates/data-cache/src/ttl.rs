//! Lifetimes of entries.

use crate::config::{MAX_SECONDS, QueryCache};
use crate::error::Error;
use crate::pattern::{Pattern, folded};

/// The TTLs of `cache.yaml`.
pub(crate) struct Ttls {
    default_seconds: u64,
    patterns: Vec<(Pattern, u64)>,
}

impl Ttls {
    pub(crate) fn new(config: &QueryCache) -> Result<Self, Error> {
        let mut patterns = Vec::new();
        for (text, seconds) in &config.ttls {
            patterns.push((Pattern::new(text)?, *seconds));
        }
        // sorted so that the first pattern that matches wins
        patterns
            .sort_by_key(|(pattern, seconds)| (std::cmp::Reverse(pattern.literals()), *seconds));
        Ok(Self {
            default_seconds: config.default_ttl_seconds,
            patterns,
        })
    }

    /// Returns the configured TTL for this SQL or label.
    pub(crate) fn configured(&self, label: &str) -> Option<u64> {
        self.pattern(label).map(|(_, seconds)| *seconds)
    }

    /// Returns `true` if the pattern that matches this SQL spells
    /// out `name`, which permits storing results that depend on it.
    pub(crate) fn permits(&self, label: &str, name: &str) -> bool {
        self.pattern(label)
            .is_some_and(|(pattern, _)| pattern.spells(name))
    }

    fn pattern(&self, label: &str) -> Option<&(Pattern, u64)> {
        if self.patterns.is_empty() {
            return None;
        }
        let label = folded(label);
        let mut matching = self.patterns.iter();
        matching.find(|(pattern, _)| pattern.matches_folded(&label))
    }

    /// Returns the caller's TTL, else the configured one, else the default.
    pub(crate) fn effective(&self, asked: Option<u64>, label: &str) -> Result<u64, Error> {
        match asked {
            Some(seconds) if seconds > MAX_SECONDS => Err(Error::input(format!(
                "ttl_seconds: {seconds} exceeds the limit of {MAX_SECONDS} (ten years)"
            ))),
            Some(seconds) => Ok(seconds),
            None => Ok(self.configured(label).unwrap_or(self.default_seconds)),
        }
    }
}
