//! Finds the queries in `configs/grafana/*.json` and in the rule files.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::Result;

/// Files with alerts and recording rules.
pub(crate) const RULE_FILES: [&str; 2] = ["configs/alerts.yml", "configs/slo.yml"];

/// A query and its origin.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) file: PathBuf,
    /// Title of the panel, or name of the alert or recording rule.
    pub(crate) name: String,
    /// Query with Grafana's variables replaced.
    pub(crate) text: String,
}

/// Returns the files of the dashboards, sorted.
pub(crate) fn dashboards(root: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(root.join("configs/grafana"))
        .into_iter()
        .flatten()
        .flatten();
    let mut all: Vec<PathBuf> = files
        .map(|file| file.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    all.sort();
    all
}

/// Returns the panels of a dashboard, including rows.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().into_iter().flatten()
}

/// Returns the queries of panels and annotations, with `range` in place of Grafana's range variables.
pub(crate) fn of_dashboard(file: &Path, dashboard: &Value, range: &str) -> Vec<Query> {
    let query = |name: &Value, expr: &Value| {
        Some(Query {
            file: file.to_owned(),
            name: name.as_str().unwrap_or_default().to_owned(),
            text: substituted(expr.as_str()?, range),
        })
    };
    let of_panels = panels(dashboard).flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.filter_map(|target| query(&panel["title"], &target["expr"]))
    });
    let annotations = dashboard["annotations"]["list"]
        .as_array()
        .into_iter()
        .flatten();
    let of_annotations = annotations.filter_map(|one| query(&one["name"], &one["expr"]));
    of_panels.chain(of_annotations).collect()
}

fn substituted(expr: &str, range: &str) -> String {
    expr.replace("$__rate_interval", range)
        .replace("$__range", range)
        .replace("$job", ".+")
        .replace("$instance", ".+")
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: Option<String>,
    record: Option<String>,
    expr: String,
}

pub(crate) fn of_alerts(root: &Path) -> Result<Vec<Query>> {
    of_rules(root, |rule| rule.alert)
}

/// Returns the recording rules, whose names are metrics.
pub(crate) fn of_recordings(root: &Path) -> Result<Vec<Query>> {
    of_rules(root, |rule| rule.record)
}

fn of_rules(root: &Path, name: impl Fn(Rule) -> Option<String>) -> Result<Vec<Query>> {
    let mut all = Vec::new();
    for file in RULE_FILES.map(|file| root.join(file)) {
        let read = std::fs::read_to_string(&file)
            .map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let rules: Rules =
            serde_yaml::from_str(&read).map_err(|e| format!("{}: {e}", file.display()))?;
        for rule in rules.groups.into_iter().flat_map(|group| group.rules) {
            let text = rule.expr.clone();
            all.extend(name(rule).map(|name| Query {
                file: file.clone(),
                name,
                text,
            }));
        }
    }
    Ok(all)
}
