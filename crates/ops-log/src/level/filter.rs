use std::fmt;
use std::str::FromStr;

use crate::Level;

/// From which level on lines are written, in the syntax of `RUST_LOG`: `info,my_crate::db=debug,hyper=off`.
///
/// A bare level is everything's; a target without a level is written from `trace` on; `off` is no line at all. The
/// longest target that a logger's name or module begins with decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(crate) base: Threshold,
    /// The longest target first.
    directives: Vec<(String, Threshold)>,
}

/// A level and whatever is more severe, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Threshold(pub(crate) u8);

impl Threshold {
    pub(crate) const OFF: Self = Self(Level::Critical as u8 + 1);

    pub(crate) const fn from(level: Level) -> Self {
        Self(level as u8)
    }

    pub(crate) fn passes(self, level: Level) -> bool {
        level as u8 >= self.0
    }

    /// The most verbose level that passes; `None` where none does.
    pub(crate) fn level(self) -> Option<Level> {
        Level::ALL.get(self.0 as usize).copied()
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.level().map_or("off", Level::as_str)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("off") {
            return Some(Self::OFF);
        }
        text.parse().ok().map(Self::from)
    }
}

impl Filter {
    /// Everything from this level on.
    pub fn new(level: Level) -> Self {
        Self {
            base: Threshold::from(level),
            directives: Vec::new(),
        }
    }

    /// The same with another level for what is named `target` or begins with it; an empty target is everything.
    #[must_use]
    pub fn with(mut self, target: &str, level: Level) -> Self {
        self.set(target, Threshold::from(level));
        self
    }

    pub(crate) fn set(&mut self, target: &str, threshold: Threshold) {
        if target.is_empty() {
            self.base = threshold;
            return;
        }
        self.directives.retain(|(known, _)| known != target);
        self.directives.push((target.to_owned(), threshold));
        self.directives
            .sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    }

    /// The directive that decides about a target, if one does.
    pub(crate) fn directive(&self, target: &str) -> Option<(&str, Threshold)> {
        self.directives
            .iter()
            .find(|(prefix, _)| target.starts_with(prefix.as_str()))
            .map(|(prefix, threshold)| (prefix.as_str(), *threshold))
    }

    pub(crate) fn directives(&self) -> &[(String, Threshold)] {
        &self.directives
    }

    pub(crate) fn most_verbose(&self) -> Threshold {
        self.thresholds().fold(self.base, Ord::min)
    }

    pub(crate) fn most_severe(&self) -> Threshold {
        self.thresholds().fold(self.base, Ord::max)
    }

    fn thresholds(&self) -> impl Iterator<Item = Threshold> {
        self.directives.iter().map(|(_, threshold)| *threshold)
    }

    /// What could be understood of a text, and what could not.
    pub(crate) fn parse_leniently(text: &str, base: Level) -> (Self, Vec<ParseFilterError>) {
        let mut filter = Self::new(base);
        let mut refused = Vec::new();
        for directive in text.split(',').map(str::trim).filter(|d| !d.is_empty()) {
            match parse_directive(directive) {
                Some((target, threshold)) => filter.set(target, threshold),
                None => refused.push(ParseFilterError {
                    directive: directive.to_owned(),
                }),
            }
        }
        (filter, refused)
    }
}

fn parse_directive(directive: &str) -> Option<(&str, Threshold)> {
    if directive.contains(['[', ']', '{', '}', '/', ' ']) {
        return None;
    }
    match directive.split_once('=') {
        Some((target, _)) if target.trim().is_empty() => None,
        Some((target, level)) => Some((target.trim(), Threshold::parse(level.trim())?)),
        None => Some(match Threshold::parse(directive) {
            Some(threshold) => ("", threshold),
            None => (directive, Threshold::from(Level::Trace)),
        }),
    }
}

impl FromStr for Filter {
    type Err = ParseFilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (filter, refused) = Self::parse_leniently(text, Level::Info);
        refused.into_iter().next().map_or(Ok(filter), Err)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str())?;
        for (target, threshold) in &self.directives {
            write!(f, ",{target}={}", threshold.as_str())?;
        }
        Ok(())
    }
}

/// A part of a filter that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseFilterError {
    directive: String,
}

impl fmt::Display for ParseFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown directive {:?} in the log filter: expected a level (trace, debug, info, warning, error, critical, off), target=level or a target, separated by commas",
            self.directive
        )
    }
}

impl std::error::Error for ParseFilterError {}
