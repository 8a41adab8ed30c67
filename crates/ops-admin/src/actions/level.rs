use std::time::Duration;

use axum::http::StatusCode;
use http::Extensions;
use serde::Deserialize;

use super::{Change, temporary_change};
use crate::audit::{AuditedRequest, cut};
use crate::text::printable;

/// Request to change the level.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLevel {
    level: String,
    why: String,
    /// Start of a logger's name or module; everything if empty.
    #[serde(default)]
    target: String,
    /// Time after which the change reverts; 15 minutes by default.
    ttl_seconds: Option<u64>,
    /// Person who requests the change; the admin page has no accounts.
    who: Option<String>,
}

/// Request to end a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revert {
    #[serde(default)]
    target: String,
    who: Option<String>,
}

/// Temporarily changes the level from which lines are written; the change and its end are logged.
pub(crate) async fn change(
    extensions: Extensions,
    Change(change): Change<NewLevel>,
) -> (StatusCode, String) {
    let level: ops_log::Level = match change.level.parse() {
        Ok(level) => level,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let (who, why) = (change.who.as_deref(), &change.why);
    let audited = match temporary_change(&extensions, who, why, change.ttl_seconds) {
        Ok(audited) => audited,
        Err(refused) => return refused,
    };
    let ttl = change
        .ttl_seconds
        .map_or(ops_log::LEVEL_TTL, Duration::from_secs);
    let ttl = ttl.min(ops_log::MAX_LEVEL_TTL);
    let target = change.target.trim();
    if !is_target(target) {
        let accepted = "invalid target: expected the beginning of a logger name or of a module path such as my_crate::db, at most 200 \
                        characters, without white space, '=' or ','\n";
        return (StatusCode::BAD_REQUEST, accepted.to_owned());
    }
    let of = of(target);
    match ops_log::set_level(target, level, ttl, &audited.who, &audited.why) {
        Ok(()) => {
            let done = format!("level{of} is {level} for {} seconds", ttl.as_secs());
            audited.report("set_level", target, &done);
            (StatusCode::OK, done + "\n")
        }
        Err(error @ ops_log::Error::TooManyChanges) => (StatusCode::CONFLICT, format!("{error}\n")),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Reverts a change early.
pub(crate) async fn revert(
    extensions: Extensions,
    Change(revert): Change<Revert>,
) -> (StatusCode, String) {
    let target = cut(revert.target.trim());
    let of = of(&target);
    if !ops_log::revert_level(&target) {
        let absent = format!("the level{of} has no change to revert{}\n", changed());
        return (StatusCode::NOT_FOUND, absent);
    }
    let done = format!("level{of} reverted");
    let audited = AuditedRequest::without_reason(&extensions, revert.who.as_deref(), "");
    audited.report("revert_level", &target, &done);
    (StatusCode::OK, done + "\n")
}

/// Returns whether a logger or a module may start like this; an empty text stands for all.
fn is_target(target: &str) -> bool {
    let is_strange = |char: char| char.is_whitespace() || "=,".contains(char);
    cut(target) == target && !target.contains(is_strange)
}

/// Names the targets whose level is changed, if there are any.
fn changed() -> String {
    let rules = ops_log::levels().into_iter();
    let changed = rules.filter(|rule| rule.temporary.is_some() && !rule.target.is_empty());
    let names: Vec<_> = changed.map(|rule| printable(&rule.target)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("; changed levels: {}", names.join(", ")),
    }
}

fn of(target: &str) -> String {
    match target {
        "" => String::new(),
        _ => format!(" of {}", printable(target)),
    }
}
