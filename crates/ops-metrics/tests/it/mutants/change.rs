//! Changes of queries and rules.

use serde_yaml::{Mapping, Value};

use super::run::yaml;

/// Words of queries, with their replacements.
const SWAPS: [(&str, &[&str]); 29] = [
    (" > ", &[" < ", " == ", " >= "]),
    (" and ", &[" or ", " unless "]),
    (" or ", &[" and "]),
    (" / ", &[" * "]),
    (" + ", &[" - "]),
    (" * ", &[" + "]),
    ("1 - ", &["", "1 + "]),
    ("0 * ", &["1 * "]),
    (
        "sum by (job)",
        &[
            "max by (job)",
            "count by (job)",
            "sum by (queue)",
            "sum without (job)",
            "sum",
        ],
    ),
    ("sum by (le)", &["max by (le)", "sum by (job)"]),
    (
        "sum by (queue)",
        &["max by (queue)", "avg by (queue)", "sum"],
    ),
    ("sum(", &["max(", "count("]),
    ("rate(", &["irate(", "increase("]),
    ("increase(", &["rate("]),
    ("_total", &["_totals"]),
    ("_bucket", &["_count"]),
    ("_count", &["_bucket"]),
    ("=~\"", &["!~\""]),
    ("!~\"", &["=~\""]),
    ("|", &[""]),
    ("failed", &["faild"]),
    ("lost", &["done"]),
    ("test.*", &["tests.*"]),
    ("trial", &["trials"]),
    ("batch", &["batches"]),
    ("10|10.0", &["1", "60"]),
    ("bad_ratio", &["good_ratio"]),
    ("\"shop\"", &["\"other\"", "\".+\""]),
    ("\"shop-.\"", &["\"lab.*\"", "\".+\"", "\"shop-1\""]),
];
/// Ranges, each with a shorter and a longer one.
const RANGES: [(&str, [&str; 2]); 7] = [
    ("5m", ["2m", "30m"]),
    ("30m", ["5m", "1h"]),
    ("1h", ["30m", "2h"]),
    ("2h", ["1h", "6h"]),
    ("6h", ["2h", "1d"]),
    ("1d", ["6h", "3d"]),
    ("3d", ["1d", "4d"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Unchanged: all cases pass.
    Control,
    /// Changed without effect on any series: all cases pass.
    Same,
    Changed,
}

/// A query with one change.
struct Changed {
    query: String,
    /// True if no series shows the change.
    is_same: bool,
}

/// Returns a query with each of the changes at each of its places.
fn changed(query: &str) -> Vec<Changed> {
    let mut all = Vec::new();
    let mut change = |at: usize, length: usize, to: &str, is_longer: bool| {
        let from = &query[at..at + length];
        all.push(Changed {
            query: format!("{}{to}{}", &query[..at], &query[at + length..]),
            is_same: is_same(query, at, from, to, is_longer),
        });
    };
    for (from, others) in SWAPS {
        for (at, _) in query.match_indices(from) {
            // `irate(` ends with `rate(` too
            let is_word = !query[..at].ends_with(|char: char| char.is_ascii_alphabetic())
                || from.starts_with('_');
            others
                .iter()
                .filter(|_| is_word)
                .for_each(|to| change(at, from.len(), to, false));
        }
    }
    for (range, [shorter, longer]) in RANGES {
        for (start, end) in [("[", "]"), ("_", "")] {
            let whole = format!("{start}{range}{end}");
            for (at, _) in query.match_indices(&whole) {
                let after = query[at + whole.len()..].chars().next();
                if end.is_empty() && after.is_some_and(|char| char.is_ascii_alphanumeric()) {
                    continue;
                }
                change(at + 1, range.len(), shorter, false);
                change(at + 1, range.len(), longer, true);
                if end == "]" {
                    let before = format!("{whole} offset {range}");
                    change(at, whole.len(), &before, false);
                }
            }
        }
    }
    for before in ["> ", "* ", " / ", "histogram_quantile("] {
        for (at, _) in query.match_indices(before) {
            let at = at + before.len();
            let is_digit = |char: char| char.is_ascii_digit() || char == '.';
            let length = query[at..]
                .find(|char| !is_digit(char))
                .unwrap_or(query.len() - at);
            let Ok(number) = query[at..at + length].parse::<f64>() else {
                continue;
            };
            for factor in [0.8, 1.25] {
                change(at, length, &(number * factor).to_string(), false);
            }
        }
    }
    all
}

/// Returns whether a change does not affect the result, for two reasons only. In `(failed or 0 * all) / all` the second
/// part is 0 for all jobs it finds, and the division drops jobs that the last part does not find: only a change that
/// may lose a job has an effect. And a quantile of buckets is the same if all buckets are multiplied by a number.
fn is_same(query: &str, at: usize, from: &str, to: &str, is_longer: bool) -> bool {
    /// Changes that find the same jobs, or more of them, with fewer labels ignored or a longer range.
    const FIND_ALL_JOBS: [(&str, &str); 6] = [
        ("sum by (job)", "max by (job)"),
        ("sum by (job)", "count by (job)"),
        ("rate(", "irate("),
        ("rate(", "increase("),
        ("|", ""),
        ("test.*", "tests.*"),
    ];
    let is_in_zero = query[..at]
        .rsplit_once(" or 0 * ")
        .is_some_and(|(_, within)| {
            let mut open = 0;
            within.chars().all(|char| {
                open += i32::from(char == '(') - i32::from(char == ')');
                open >= 0
            })
        });
    if is_in_zero {
        return is_longer || FIND_ALL_JOBS.contains(&(from, to));
    }
    query.starts_with("histogram_quantile(") && (from, to) == ("rate(", "increase(")
}

/// Returns a query with each change, and unchanged.
pub(super) fn with_control(query: &str) -> Vec<(Kind, String)> {
    let of_change = |change: Changed| {
        let kind = if change.is_same {
            Kind::Same
        } else {
            Kind::Changed
        };
        (kind, change.query)
    };
    let all = changed(query).into_iter().map(of_change);
    all.chain([(Kind::Control, query.to_owned())]).collect()
}

pub(super) fn changed_rules(rule: &Value) -> Vec<(Kind, Mapping)> {
    let rule = rule.as_mapping().unwrap();
    let with = |key: &str, value: &str| {
        let mut changed = rule.clone();
        changed.insert(key.into(), value.into());
        changed
    };
    let exprs = with_control(rule["expr"].as_str().unwrap()).into_iter();
    let mut all: Vec<(Kind, Mapping)> = exprs
        .map(|(kind, expr)| (kind, with("expr", &expr)))
        .collect();
    let mut change = |changed: Mapping| all.push((Kind::Changed, changed));
    for (key, values) in [
        ("record", &["renamed"][..]),
        ("alert", &["Renamed"]),
        ("for", &["0m", "1000m"]),
        ("keep_firing_for", &["0m"]),
    ] {
        if rule.contains_key(key) {
            values.iter().for_each(|value| change(with(key, value)));
        }
    }
    if rule.contains_key("labels") {
        let mut changed = rule.clone();
        changed.insert("labels".into(), yaml("severity: none"));
        change(changed);
        for annotation in ["summary", "description"] {
            let mut changed = rule.clone();
            changed["annotations"][annotation] = "other".into();
            change(changed);
        }
    }
    all
}
