use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;

/// Request for a change of the level.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    level: String,
    why: String,
    /// Beginning of a logger's name or module; everything unless given.
    #[serde(default)]
    target: String,
    /// Time after which it reverts by itself; a quarter of an hour unless given.
    ttl_seconds: Option<u64>,
    /// Person who asks; the admin page has no accounts.
    who: Option<String>,
}

/// Changes for a while from which level on lines are written; the change and its end are lines.
pub(crate) async fn change(Json(change): Json<Change>) -> (StatusCode, String) {
    let level: ops_log::Level = match change.level.parse() {
        Ok(level) => level,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    if change.why.trim().is_empty() || change.ttl_seconds == Some(0) {
        let accepted = "why takes a text, ttl_seconds at least 1\n";
        return (StatusCode::BAD_REQUEST, accepted.to_owned());
    }
    let ttl = change
        .ttl_seconds
        .map_or(ops_log::LEVEL_TTL, Duration::from_secs);
    let ttl = ttl.min(ops_log::MAX_LEVEL_TTL);
    let [target, why, who] = [
        &change.target,
        &change.why,
        change.who.as_ref().unwrap_or(&String::from("admin")),
    ]
    .map(|text| text.chars().take(200).collect::<String>());
    let of = match target.as_str() {
        "" => String::new(),
        _ => format!(" of {target}"),
    };
    match ops_log::set_level(&target, level, ttl, &who, &why) {
        Ok(()) => (
            StatusCode::OK,
            format!("level{of} is {level} for {} seconds\n", ttl.as_secs()),
        ),
        Err(error @ ops_log::Error::TooManyChanges) => (StatusCode::CONFLICT, format!("{error}\n")),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
