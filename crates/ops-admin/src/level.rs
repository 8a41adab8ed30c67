use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;

/// What a change of the level asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    level: String,
    why: String,
}

/// Changes the level from which on lines are written; the change is a line itself.
pub(crate) async fn change(Json(change): Json<Change>) -> (StatusCode, String) {
    let level: ops_log::Level = match change.level.parse() {
        Ok(level) => level,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    ops_log::set_level(level);
    let why: String = change.why.chars().take(200).collect();
    ops_log::warn!("log_level_changed", to = level.as_str(), why = why);
    (
        StatusCode::OK,
        format!("level is {level} until it is changed again\n"),
    )
}
