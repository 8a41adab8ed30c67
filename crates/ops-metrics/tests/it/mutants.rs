//! Rules and queries with one change: the test cases that were made beside them notice it.

use std::io::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ops_metrics::rules;
use serde_yaml::{Mapping, Value};

use crate::promtool::promtool;
use crate::rules::{OBJECTIVES, SHOP, tested};

/// Words of queries, and what stands there instead.
const SWAPS: [(&str, &[&str]); 29] = [
    (" > ", &[" < ", " == "]),
    (" and ", &[" or ", " unless "]),
    (" or ", &[" and "]),
    (" / ", &[" * "]),
    (" + ", &[" - "]),
    (" * ", &[" + "]),
    ("1 - ", &["", "1 + "]),
    ("0 * ", &["1 * "]),
    (
        "sum by (job)",
        &["max by (job)", "count by (job)", "sum by (queue)", "sum"],
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
/// Ranges, with a shorter and a longer one.
const RANGES: [(&str, [&str; 2]); 7] = [
    ("5m", ["2m", "30m"]),
    ("30m", ["5m", "1h"]),
    ("1h", ["30m", "2h"]),
    ("2h", ["1h", "6h"]),
    ("6h", ["2h", "1d"]),
    ("1d", ["6h", "3d"]),
    ("3d", ["1d", "4d"]),
];

/// Returns a query with each of the changes at each of its places.
fn mutants(query: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut change = |at: usize, length: usize, to: &str| {
        all.push(format!("{}{to}{}", &query[..at], &query[at + length..]));
    };
    for (from, others) in SWAPS {
        for (at, _) in query.match_indices(from) {
            // `rate(` ends `irate(` too
            let is_word = !query[..at].ends_with(|char: char| char.is_ascii_alphabetic())
                || from.starts_with('_');
            others
                .iter()
                .filter(|_| is_word)
                .for_each(|to| change(at, from.len(), to));
        }
    }
    for (range, others) in RANGES {
        for start in ["[", "_"] {
            let whole = format!("{start}{range}");
            for (at, _) in query.match_indices(&whole) {
                let after = query[at + whole.len()..].chars().next();
                if after.is_none_or(|char| !char.is_ascii_alphanumeric()) {
                    others.iter().for_each(|to| change(at + 1, range.len(), to));
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
                change(at, length, &(number * factor).to_string());
            }
        }
    }
    all
}

/// A rule or query with one change, and the files that should notice it.
struct Mutant {
    what: String,
    /// Nothing is changed: all cases pass.
    is_control: bool,
    rules: String,
    cases: Vec<(String, String)>,
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// Returns the cases of which the name says that they are about this, in the files that have any.
fn only(files: &[(String, String)], is_about: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let files = files.iter().filter_map(|(name, text)| {
        let mut file = yaml(text);
        let cases = file["tests"].as_sequence_mut().unwrap();
        cases.retain(|case| is_about(case["name"].as_str().unwrap()));
        let is_empty = cases.is_empty();
        (!is_empty).then(|| (name.clone(), serde_yaml::to_string(&file).unwrap()))
    });
    files.collect()
}

fn of_rules(slo: usize) -> Vec<Mutant> {
    let slo = &OBJECTIVES[slo..=slo];
    let made = rules("shop", &[], slo).unwrap();
    let files = made.tests("shop.rules.yml");
    let original = yaml(&made.rules());
    let all = original["groups"][0]["rules"].as_sequence().unwrap();
    let mut mutants_of_all = Vec::new();
    for (at, rule) in all.iter().enumerate() {
        let name = ["record", "alert"]
            .iter()
            .find_map(|key| rule[*key].as_str())
            .unwrap();
        let is_alert = rule["alert"].is_string();
        let cases = only(&files, |case| {
            case.starts_with(&if is_alert {
                format!("{name}:")
            } else {
                format!("{}: recorded", slo[0].name())
            })
        });
        let control = rule.as_mapping().unwrap().clone();
        for changed in changed_rules(rule).into_iter().chain([control]) {
            let is_control = Some(&changed) == rule.as_mapping();
            let mut rules = original.clone();
            let list = rules["groups"][0]["rules"].as_sequence_mut().unwrap();
            list[at] = Value::Mapping(changed);
            if !is_alert {
                list.retain(|rule| rule["record"].is_string());
            }
            mutants_of_all.push(Mutant {
                is_control,
                what: format!("{name}: {}", serde_yaml::to_string(&list[at]).unwrap()),
                rules: serde_yaml::to_string(&rules).unwrap(),
                cases: cases.clone(),
            });
        }
    }
    mutants_of_all
}

fn changed_rules(rule: &Value) -> Vec<Mapping> {
    let rule = rule.as_mapping().unwrap();
    let with = |key: &str, value: &str| {
        let mut changed = rule.clone();
        changed.insert(key.into(), value.into());
        changed
    };
    let expr = rule["expr"].as_str().unwrap();
    let mut all: Vec<Mapping> = mutants(expr)
        .iter()
        .map(|expr| with("expr", expr))
        .collect();
    for (key, values) in [
        ("record", &["renamed"][..]),
        ("alert", &["Renamed"]),
        ("for", &["0m", "1000m"]),
        ("keep_firing_for", &["0m"]),
    ] {
        if rule.contains_key(key) {
            all.extend(values.iter().map(|value| with(key, value)));
        }
    }
    if rule.contains_key("labels") {
        let mut changed = rule.clone();
        changed.insert("labels".into(), yaml("severity: none"));
        all.push(changed);
        for annotation in ["summary", "description"] {
            let mut changed = rule.clone();
            changed["annotations"][annotation] = "other".into();
            all.push(changed);
        }
    }
    all
}

/// Returns the changes of each query of a dashboard, whose cases hold it.
fn of_queries() -> Vec<Mutant> {
    let made = rules("shop", SHOP, OBJECTIVES).unwrap();
    let files = made.tests("shop.rules.yml");
    let (name, text) = &files[0];
    let mut all = Vec::new();
    let file = yaml(text);
    for case in file["tests"].as_sequence().unwrap() {
        let title = case["name"].as_str().unwrap();
        let Some(queries) = case["promql_expr_test"]
            .as_sequence()
            .filter(|_| title.starts_with("panel "))
        else {
            continue;
        };
        for (at, query) in queries.iter().enumerate() {
            let expr = query["expr"].as_str().unwrap();
            let (inner, outer) = expr
                .strip_prefix("abs((")
                .unwrap()
                .rsplit_once(") / ")
                .unwrap();
            for changed in mutants(inner).into_iter().chain([inner.to_owned()]) {
                let is_control = changed == inner;
                let mut case = case.clone();
                case["promql_expr_test"][at]["expr"] = format!("abs(({changed}) / {outer}").into();
                let mut file = file.clone();
                file["rule_files"] = Value::Sequence(Vec::new());
                file["tests"] = Value::Sequence(vec![case]);
                all.push(Mutant {
                    is_control,
                    what: format!("{title}: {changed}"),
                    rules: String::new(),
                    cases: vec![(name.clone(), serde_yaml::to_string(&file).unwrap())],
                });
            }
        }
    }
    all
}

/// Returns whether a case fails.
fn is_noticed(promtool: &Path, mutant: &Mutant) -> bool {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("shop.rules.yml"), &mutant.rules).unwrap();
    assert!(!mutant.cases.is_empty(), "{}", mutant.what);
    mutant.cases.iter().any(|(name, text)| {
        std::fs::write(directory.path().join(name), text).unwrap();
        tested(promtool, directory.path(), std::slice::from_ref(name)).is_err()
    })
}

/// Names those of which it holds. Each core asks for one after the other, as promtool uses hardly more than one.
fn those<'a>(mutants: &[&'a Mutant], holds: impl Fn(&Mutant) -> bool + Sync) -> Vec<&'a str> {
    let next = AtomicUsize::new(0);
    let one_after_the_other = || {
        let mut found = Vec::new();
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            if holds(mutant) {
                found.push(mutant.what.as_str());
            }
        }
        found
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| scope.spawn(one_after_the_other))
            .collect();
        let found = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        found.collect()
    })
}

/// Each 500th change, or each with `OPS_TEST_FULL=1`.
#[test]
fn of_changed_rules_and_queries_at_least_19_of_20_fail_a_case() {
    let Some(promtool) = promtool() else { return };
    let full = std::env::var_os("OPS_TEST_FULL").is_some();
    let every = if full { 1 } else { 500 };
    let all = [of_rules(0), of_rules(1), of_rules(2), of_queries()];
    let (controls, changed): (Vec<_>, Vec<_>) = all
        .into_iter()
        .flatten()
        .partition(|mutant| mutant.is_control);
    let controls: Vec<&Mutant> = controls
        .iter()
        .step_by(if full { 1 } else { 111 })
        .collect();
    let wrong = those(&controls, |control| is_noticed(&promtool, control));
    assert!(wrong.is_empty(), "{wrong:#?}");
    let tried: Vec<&Mutant> = changed.iter().step_by(every).collect();
    let alive = those(&tried, |mutant| !is_noticed(&promtool, mutant));
    let noticed = tried.len() - alive.len();
    let told = format!(
        "{noticed} of {} changes fail a case; not these: {alive:#?}",
        tried.len()
    );
    writeln!(std::io::stdout(), "{told}").unwrap();
    assert!(
        changed.len() > 1000 && noticed * 20 >= tried.len() * 19,
        "{told}"
    );
}
