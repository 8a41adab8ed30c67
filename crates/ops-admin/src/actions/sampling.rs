use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use http::Extensions;
use serde::Deserialize;

use super::{Change, temporary_change};
use crate::Admin;
use crate::audit::AuditedRequest;

/// Default time after which a ratio reverts.
const TTL: Duration = Duration::from_secs(15 * 60);
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Request to change the share of traces that is sampled.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRatio {
    ratio: f64,
    why: String,
    ttl_seconds: Option<u64>,
    who: Option<String>,
}

/// Request to restore the configured share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revert {
    who: Option<String>,
}

/// Temporarily changes the share of new traces that is sampled.
pub(crate) async fn change(
    State(admin): State<Admin>,
    extensions: Extensions,
    Change(change): Change<NewRatio>,
) -> (StatusCode, String) {
    let (who, why) = (change.who.as_deref(), &change.why);
    let audited = match temporary_change(&extensions, who, why, change.ttl_seconds) {
        Ok(audited) => audited,
        Err(refused) => return refused,
    };
    let ttl = change
        .ttl_seconds
        .map_or(TTL, Duration::from_secs)
        .min(MAX_TTL);
    // turns -0 into 0
    let ratio = change.ratio + 0.0;
    if let Err(error) = ops_trace::set_sampling_ratio(ratio, ttl) {
        return (StatusCode::BAD_REQUEST, format!("{error}\n"));
    }
    let done = format!(
        "the sampling ratio is {ratio} for {} seconds",
        ttl.as_secs()
    );
    audited.report("set_sampling", &ratio.to_string(), &done);
    admin.note_ratio_change(Some((audited.who, audited.why)));
    (StatusCode::OK, done + "\n")
}

/// Reverts a change early.
pub(crate) async fn revert(
    State(admin): State<Admin>,
    extensions: Extensions,
    Change(revert): Change<Revert>,
) -> (StatusCode, String) {
    let changed = ops_trace::global().map(|handle| handle.sampling());
    let Some(changed) = changed.filter(|sampling| sampling.remaining.is_some()) else {
        return (
            StatusCode::NOT_FOUND,
            "the sampling ratio has no change to revert\n".to_owned(),
        );
    };
    // a change with a time of zero ends immediately
    if let Err(error) = ops_trace::set_sampling_ratio(changed.configured, Duration::ZERO) {
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
    }
    admin.note_ratio_change(None);
    let done = format!("the sampling ratio is {} again", changed.configured);
    let audited = AuditedRequest::without_reason(&extensions, revert.who.as_deref(), "");
    audited.report("revert_sampling", "", &done);
    (StatusCode::OK, done + "\n")
}
