//! Comparison with the expectations of a file.

use super::script::Sort;
use super::ways::{Answer, Ways};

const REGEX: &str = "<REGEX>:";
const NO_REGEX: &str = "<!REGEX>:";

/// Compares a result with the lines after `----`: a row per line, or a value, or the digest of all.
pub(super) fn check(
    answer: &Answer,
    expected: &[String],
    sort: Sort,
    columns: usize,
    ways: &Ways,
) -> Result<(), String> {
    let answer = answer.as_ref().map_err(|error| format!("fails: {error}"))?;
    if expected
        .first()
        .is_some_and(|line| line.starts_with("<FILE>:"))
    {
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = answer
        .rows
        .iter()
        .map(|row| row.iter().map(|value| as_written(value)).collect())
        .collect();
    if rows.iter().any(|row| row.len() != columns) {
        return Err(format!(
            "has {} columns instead of {columns}",
            rows[0].len()
        ));
    }
    let mut values: Vec<String> = match sort {
        Sort::Rows => {
            rows.sort();
            rows.concat()
        }
        _ => rows.concat(),
    };
    if sort == Sort::Values {
        values.sort();
    }
    if let [line] = expected
        && let Some((count, digest)) = line.split_once(" values hashing to ")
    {
        let text: String = values.iter().map(|value| format!("{value}\n")).collect();
        let found = ways.scalar("SELECT md5(?)", &[&text]);
        let is_same = count == values.len().to_string() && digest == found;
        return match is_same {
            true => Ok(()),
            false => Err(format!("has {} values hashing to {found}", values.len())),
        };
    }
    let mut wanted: Vec<&str> = match expected.len() == rows.len() && columns > 1 {
        true => expected.iter().flat_map(|line| line.split('\t')).collect(),
        false => expected.iter().map(String::as_str).collect(),
    };
    match sort {
        Sort::Rows if wanted.len() == values.len() && columns > 0 => {
            let mut rows: Vec<&[&str]> = wanted.chunks(columns).collect();
            rows.sort_unstable();
            wanted = rows.concat();
        }
        Sort::Values => wanted.sort_unstable(),
        _ => {}
    }
    if wanted.len() != values.len() {
        return Err(format!(
            "has {} values instead of {}",
            values.len(),
            wanted.len()
        ));
    }
    for (value, wanted) in values.iter().zip(wanted) {
        if !is_value(value, wanted, ways) {
            return Err(format!("{value:?} instead of {wanted:?}"));
        }
    }
    Ok(())
}

/// Returns `true` if an error matches a part of its text or a pattern.
pub(super) fn is_message(error: &str, wanted: &str, ways: &Ways) -> bool {
    match wanted.strip_prefix(REGEX) {
        Some(pattern) => is_match(error, pattern, ways),
        None => error.to_lowercase().contains(&wanted.trim().to_lowercase()),
    }
}

fn is_value(value: &str, wanted: &str, ways: &Ways) -> bool {
    if let Some(pattern) = wanted.strip_prefix(REGEX) {
        return is_match(value, pattern, ways);
    }
    if let Some(pattern) = wanted.strip_prefix(NO_REGEX) {
        return !is_match(value, pattern, ways);
    }
    if value == wanted {
        return true;
    }
    match (value, wanted) {
        ("true", "1" | "True") | ("false", "0" | "False") => return true,
        _ => {}
    }
    match (value.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(value), Ok(wanted)) => (value - wanted).abs() <= wanted.abs() * 0.01 + f64::EPSILON,
        _ => false,
    }
}

fn is_match(text: &str, pattern: &str, ways: &Ways) -> bool {
    let sql = "SELECT regexp_full_match(?, ?, 's')::VARCHAR";
    ways.scalar(sql, &[text, pattern]) == "true"
}

/// Formats a value as DuckDB's own runner does.
fn as_written(value: &str) -> String {
    let bytes = value.as_bytes();
    let is_timestamp =
        bytes.len() >= 19 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':';
    match value {
        "" => "(empty)".to_owned(),
        _ if is_timestamp => value.replacen('T', " ", 1),
        _ => value.to_owned(),
    }
}
