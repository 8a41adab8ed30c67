use strsim::osa_distance;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::environment::{Environment, Warning, is_text, warn};

/// Selection of the `tracing` spans that become spans of this crate.
#[derive(Clone, Debug)]
pub(crate) struct ForeignSpans {
    pub(crate) targets: Targets,
    /// True if `tracing` events become events of their span.
    pub(crate) events: bool,
}

/// Reads `OPS_TRACE_FILTER` and `OPS_TRACE_EVENTS`.
pub(crate) fn of_spans(env: &Environment, warnings: &mut Vec<Warning>) -> ForeignSpans {
    let variable = "OPS_TRACE_FILTER";
    let default = Targets::new().with_default(LevelFilter::INFO);
    let targets = match env.get(variable) {
        Some(value) => targets_of(&value).unwrap_or_else(|| {
            let accepted = "targets and levels (trace, debug, info, warn, error, off), such as info,sqlx=debug,h2=off; a target that looks like a level needs a level, such as warp=trace";
            warn(warnings, variable, value, accepted, "info");
            default
        }),
        None => default,
    };
    let variable = "OPS_TRACE_EVENTS";
    let events = match env.name(&[variable]) {
        Some((_, value)) if value == "true" => true,
        Some((_, value)) if value != "false" => {
            warn(warnings, variable, value, "true, false", "false");
            false
        }
        _ => false,
    };
    ForeignSpans { targets, events }
}

/// Reads targets and levels, with or without blanks around them; a
/// package stands for its modules. `None` if an entry is invalid.
fn targets_of(list: &str) -> Option<Targets> {
    let entries = list.split(',').map(str::trim);
    let entries = entries.filter(|entry| !entry.is_empty()).map(entry_of);
    let entries: Vec<String> = entries.collect::<Option<_>>()?;
    if entries.is_empty() {
        return None;
    }
    entries.join(",").parse().ok()
}

/// Returns an entry in the form that the parser expects; a target with a hyphen may be a package, so its modules are
/// added. No target contains blanks, unreplaced variables, patterns, or the spans and fields of other filter syntaxes.
/// A word that is a level of another library, or a level with a typo, would become the only target: a target like that,
/// such as `warp`, has to be written with a level, as in a filter of log lines.
fn entry_of(text: &str) -> Option<String> {
    const FOREIGN: &str = "$%*!\"'`;|<>()[]{}";
    let (target, level) = match text.split_once('=') {
        Some((target, level)) => (target.trim(), Some(level.trim())),
        None => (text, None),
    };
    let is_foreign = |c: char| c.is_whitespace() || FOREIGN.contains(c);
    if target.contains(is_foreign) || !is_text(text) {
        return None;
    }
    if level.is_none() {
        let is_level = text.parse::<LevelFilter>().is_ok();
        // a slash begins a filter of messages, as in `warn/text`
        if !is_level && (text.contains('/') || is_nearly_level(text)) {
            return None;
        }
    }
    let level = level.map_or_else(String::new, |level| format!("={level}"));
    let entry = format!("{target}{level}");
    if !target.contains('-') {
        return Some(entry);
    }
    Some(format!("{entry},{}{level}", target.replace('-', "_")))
}

/// Reports whether a word is a level of another library, or a level
/// with one letter missing, added or replaced, or two swapped.
fn is_nearly_level(word: &str) -> bool {
    const LEVELS: [&str; 9] = [
        "trace", "debug", "info", "warn", "warning", "error", "critical", "fatal", "off",
    ];
    let word = word.to_ascii_lowercase();
    let is_nearly = LEVELS.iter().any(|level| osa_distance(&word, level) <= 1);
    is_nearly || ["none", "all"].contains(&&*word)
}
