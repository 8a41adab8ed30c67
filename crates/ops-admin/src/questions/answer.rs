use serde::Serialize;
use serde_json::value::RawValue;

use crate::Rows;
use crate::text::redacted;

/// Result of the engine, as it is sent.
#[derive(Serialize)]
pub(super) struct Answer {
    columns: Vec<String>,
    /// Values as the engine wrote them: a number may have more digits than a float.
    rows: Vec<Vec<Box<RawValue>>>,
    truncated: bool,
    files: usize,
    skipped: Vec<String>,
    seconds: f64,
    /// The result includes the lines, spans and samples that were offered before the question.
    current: bool,
}

impl Answer {
    pub(super) fn new(rows: Rows, current: bool) -> Self {
        let cells = |row: Vec<String>| row.into_iter().map(cell).collect();
        Self {
            columns: rows.columns.iter().map(|name| redacted(name)).collect(),
            rows: rows.rows.into_iter().map(cells).collect(),
            truncated: rows.is_truncated,
            files: rows.files,
            skipped: rows.skipped,
            seconds: rows.seconds,
            current,
        }
    }
}

/// Redacts secrets that were registered after a value was written.
fn cell(json: String) -> Box<RawValue> {
    let without = match json.starts_with(['"', '{', '[']) {
        true => redacted(&json),
        false => json,
    };
    // text that is no longer JSON lost its quotes to a redaction
    RawValue::from_string(without).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
