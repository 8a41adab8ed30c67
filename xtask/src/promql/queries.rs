//! Where the queries are: `configs/grafana/*.json` and the rule files.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::Result;

/// Alerts, and what is recorded for them.
pub(crate) const RULE_FILES: [&str; 2] = ["configs/alerts.yml", "configs/slo.yml"];

/// One query and where it is from.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) file: PathBuf,
    /// The panel's title, the alert's name, or the name of what is recorded.
    pub(crate) name: String,
    /// With Grafana's variables put in.
    pub(crate) text: String,
}

/// The files of the dashboards, sorted.
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

/// The panels of a dashboard, rows among them.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().into_iter().flatten()
}

/// The queries of panels and annotations, over `range` where Grafana puts a range in.
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

/// The recording rules, whose names are metrics.
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
