use axum::extract::State;
use axum::http::StatusCode;
use data_cache::ErrorKind;
use http::Extensions;
use serde::Deserialize;

use super::Change;
use crate::Admin;
use crate::audit::{AuditedRequest, redacted_excerpt};

/// Request to remove entries: those that match a pattern, or those that depend on a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invalidate {
    pattern: Option<String>,
    table: Option<String>,
    why: String,
    who: Option<String>,
}

/// Maximum length of a pattern in characters. It is matched with every entry.
const PATTERN_MAX: usize = 1000;

/// Removes entries of the cache.
pub(crate) async fn invalidate(
    State(admin): State<Admin>,
    extensions: Extensions,
    Change(request): Change<Invalidate>,
) -> (StatusCode, String) {
    let audited = match AuditedRequest::new(&extensions, request.who.as_deref(), &request.why) {
        Ok(audited) => audited,
        Err(accepted) => return (StatusCode::BAD_REQUEST, accepted.to_owned()),
    };
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (pattern, table) = (given(request.pattern), given(request.table));
    if pattern.is_some() == table.is_some() {
        let accepted = "expected either pattern or table\n";
        return (StatusCode::BAD_REQUEST, accepted.to_owned());
    }
    if pattern
        .iter()
        .chain(&table)
        .any(|text| text.chars().count() > PATTERN_MAX)
    {
        let accepted = format!("pattern and table must not exceed {PATTERN_MAX} characters\n");
        return (StatusCode::BAD_REQUEST, accepted);
    }
    let Some(cache) = admin.cache_handle().cloned() else {
        return (
            StatusCode::NOT_FOUND,
            "this service has no cache\n".to_owned(),
        );
    };
    let shown = match (&pattern, &table) {
        (Some(pattern), _) => redacted_excerpt(pattern),
        (None, table) => format!(
            "table {}",
            redacted_excerpt(table.as_deref().unwrap_or_default())
        ),
    };
    // waits for the lock of the directory for up to 5 s
    let removed = tokio::task::spawn_blocking(move || match (pattern, table) {
        (Some(pattern), _) => cache.invalidate(&pattern),
        (None, table) => cache.invalidate_table(&table.unwrap_or_default()),
    });
    match removed.await {
        Ok(Ok(removed)) => {
            let done = format!("{removed} entries removed");
            audited.report("invalidate", &shown, &done);
            (StatusCode::OK, done + "\n")
        }
        Ok(Err(error)) => {
            let failed = error.to_string();
            audited.report("invalidate", &shown, &failed);
            let status = match error.kind() {
                ErrorKind::Input => StatusCode::BAD_REQUEST,
                // the request is valid, but entries remain
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, failed + "\n")
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
