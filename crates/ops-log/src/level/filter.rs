use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use strsim::osa_distance;

use crate::Level;

/// Minimum level of lines by target, in the syntax of `RUST_LOG`: `info,my_crate::db=debug,hyper=off`.
///
/// A level without a target applies to all targets; a target without a level means `trace`; `off` disables a
/// target. The longest target that is a prefix of the logger's name applies, or else the longest one for the module
/// of the call; for the root logger the module comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(crate) base: Threshold,
    /// Longest target first.
    directives: Vec<(String, Threshold)>,
}

/// Minimum level, or nothing at all.
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

    /// Returns the most verbose level that passes; `None` if no level passes.
    pub(crate) fn level(self) -> Option<Level> {
        Level::ALL.get(self.0 as usize).copied()
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.level().map_or("off", Level::as_str)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Some(Self::OFF);
        }
        text.parse().ok().map(Self::from)
    }
}

impl Filter {
    /// Returns a filter that passes this level and above for all targets.
    pub fn new(level: Level) -> Self {
        Self {
            base: Threshold::from(level),
            directives: Vec::new(),
        }
    }

    /// Sets another level for targets that start with `target`; an empty target means all targets.
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
        self.directives.retain(|(known, _)| !is_same(known, target));
        self.directives.push((target.to_owned(), threshold));
        self.sort();
    }

    /// Returns a copy with these thresholds. Each target in `changes`
    /// occurs once; the copy is sorted once, whatever their number.
    pub(crate) fn overridden<'a>(
        &self,
        changes: impl Iterator<Item = (&'a str, Threshold)>,
    ) -> Self {
        let changes: HashMap<String, (&str, Threshold)> = changes
            .map(|(target, threshold)| (target.replace('-', "_"), (target, threshold)))
            .collect();
        let untouched = self.directives.iter();
        let untouched =
            untouched.filter(|(target, _)| !changes.contains_key(&target.replace('-', "_")));
        let mut filter = Self {
            base: changes
                .get("")
                .map_or(self.base, |(_, threshold)| *threshold),
            directives: untouched.cloned().collect(),
        };
        let named = changes.values().filter(|(target, _)| !target.is_empty());
        let named = named.map(|(target, threshold)| ((*target).to_owned(), *threshold));
        filter.directives.extend(named);
        filter.sort();
        filter
    }

    fn sort(&mut self) {
        self.directives
            .sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    }

    /// Returns the directive that applies to a target, if there is one.
    pub(crate) fn directive(&self, target: &str) -> Option<(&str, Threshold)> {
        self.directives
            .iter()
            .find(|(prefix, _)| begins_with(target, prefix))
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

    /// Returns `true` if a line passes, by its target and an optional second name.
    pub(crate) fn passes(&self, level: Level, target: &str, other: Option<&str>) -> bool {
        self.directive(target)
            .or_else(|| self.directive(other?))
            .map_or(self.base, |(_, threshold)| threshold)
            .passes(level)
    }

    fn thresholds(&self) -> impl Iterator<Item = Threshold> {
        self.directives.iter().map(|(_, threshold)| *threshold)
    }

    /// Parses the valid parts of a text, and returns the invalid ones.
    pub(crate) fn parse_leniently(text: &str, base: Threshold) -> (Self, Vec<ParseFilterError>) {
        let mut filter = Self {
            base,
            directives: Vec::new(),
        };
        let mut refused = Vec::new();
        // a regular expression for messages, as in env_logger, follows the first slash
        let (directives, regex) = match text.split_once('/') {
            Some((directives, regex)) => (directives, Some(regex)),
            None => (text, None),
        };
        for directive in directives
            .split(',')
            .map(str::trim)
            .filter(|directive| !directive.is_empty())
        {
            match parse_directive(directive) {
                Ok((target, threshold)) => filter.set(target, threshold),
                Err(reason) => refused.push(ParseFilterError {
                    directive: directive.to_owned(),
                    reason,
                }),
            }
        }
        refused.extend(regex.map(|regex| ParseFilterError {
            directive: format!("/{regex}"),
            reason: Reason::Regex,
        }));
        (filter, refused)
    }
}

/// Returns `true` if two targets are the same: package names have `-` where module names have `_`.
pub(crate) fn is_same(target: &str, other: &str) -> bool {
    target.len() == other.len() && begins_with(target, other)
}

/// Returns `true` if a target starts with another.
pub(crate) fn begins_with(target: &str, prefix: &str) -> bool {
    let fold = |byte: u8| if byte == b'-' { b'_' } else { byte };
    target.len() >= prefix.len()
        && target
            .bytes()
            .zip(prefix.bytes())
            .all(|(a, b)| a == b || fold(a) == fold(b))
}

fn parse_directive(directive: &str) -> Result<(&str, Threshold), Reason> {
    if directive.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Reason::NotText);
    }
    // an unexpanded variable
    if directive.contains(['$', '%']) {
        return Err(Reason::Unknown);
    }
    if directive.contains(['[', ']', '{', '}']) {
        return Err(Reason::Span);
    }
    // quotes kept from an env file, and separators, patterns and
    // negations of other syntaxes: targets do not contain them
    let is_foreign = directive.contains(['"', '\'', '`', ';', '|', '*', '!', '<', '>', '(', ')']);
    if is_foreign || (directive.contains(char::is_whitespace) && !directive.contains('=')) {
        return Err(Reason::Unknown);
    }
    match directive.split_once('=') {
        Some((target, _)) if target.trim().is_empty() => Err(Reason::Unknown),
        Some((target, _)) if target.trim().contains(char::is_whitespace) => Err(Reason::Unknown),
        Some((target, level)) => match Threshold::parse(level) {
            Some(threshold) => Ok((target.trim(), threshold)),
            None => Err(Reason::Unknown),
        },
        None => match Threshold::parse(directive) {
            Some(threshold) => Ok(("", threshold)),
            // module names do not start with a digit: `500ms`, `1`
            None if directive.starts_with(|first: char| first.is_ascii_digit()) => {
                Err(Reason::Digit)
            }
            None if ends_in_a_level(directive) => Err(Reason::Unknown),
            None => match foreign_level(directive).or_else(|| similar_level(directive)) {
                Some(level) => Err(Reason::AlmostLevel(level)),
                None => Ok((directive, Threshold::from(Level::Trace))),
            },
        },
    }
}

/// Returns `true` if a level follows a single colon, as in `my_crate:debug`.
fn ends_in_a_level(directive: &str) -> bool {
    let parts = directive.rsplit_once(':');
    parts.is_some_and(|(target, level)| !target.ends_with(':') && Threshold::parse(level).is_some())
}

/// Returns the level that a word means in other systems; such a word is not accepted as a target.
fn foreign_level(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "all" | "any" | "everything" => "trace",
        "verbose" | "fine" | "true" | "yes" | "on" | "enabled" => "debug",
        "notice" => "info",
        "severe" => "error",
        "alert" | "emerg" | "emergency" => "critical",
        "none" | "nothing" | "silent" | "quiet" | "disabled" | "false" | "no" => "off",
        _ => return None,
    })
}

/// Returns the level of which a word is probably a typo; such a word is not accepted as a target.
fn similar_level(word: &str) -> Option<&'static str> {
    const NAMES: [&str; 10] = [
        "trace", "debug", "info", "warning", "warn", "error", "critical", "crit", "fatal", "off",
    ];
    let word = word.to_ascii_lowercase();
    NAMES.into_iter().find(|name| {
        let slips = if name.len() > 4 { 2 } else { 1 };
        word.len() > 2 && osa_distance(&word, name) <= slips
    })
}

impl FromStr for Filter {
    type Err = ParseFilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (filter, refused) = Self::parse_leniently(text, Threshold::from(Level::Info));
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

/// Invalid part of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseFilterError {
    directive: String,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Unknown,
    /// The text was not UTF-8, and contains replacement characters.
    NotText,
    /// A word similar to a level.
    AlmostLevel(&'static str),
    /// A word that starts with a digit.
    Digit,
    /// A filter by span or field, as in tracing-subscriber.
    Span,
    /// A regular expression for messages, as in env_logger.
    Regex,
}

impl fmt::Display for ParseFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directive = &self.directive;
        write!(
            f,
            "unknown directive {directive:?} in the log filter: expected a level (trace, debug, info, warning, error, critical, off), target=level or a target, separated by commas"
        )?;
        match self.reason {
            Reason::Unknown => Ok(()),
            Reason::NotText => f.write_str("; it is not UTF-8"),
            Reason::AlmostLevel(level) => write!(
                f,
                "; did you mean {level}? For a target of that name, write {directive}=trace"
            ),
            Reason::Digit => write!(f, "; for a target of that name, write {directive}=trace"),
            Reason::Span => f.write_str("; filters by span or field are not supported"),
            Reason::Regex => f.write_str("; filters by message are not supported"),
        }
    }
}

impl std::error::Error for ParseFilterError {}
