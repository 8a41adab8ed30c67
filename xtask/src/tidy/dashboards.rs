//! Checks that Grafana accepts the dashboards, and that their queries and those of the alerts use existing metrics
//! correctly.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::Finding;
use crate::promql::{Place, Query, Table, faults, queries, table};

/// Types of panels that show numbers, and need a unit.
const WITH_UNIT: [&str; 5] = ["timeseries", "stat", "table", "heatmap", "gauge"];
const COLUMNS: u64 = 24;
const SCHEMA: u64 = 39;

pub(super) fn check(root: &Path) -> Vec<Finding> {
    let page = std::fs::read_to_string(root.join(table::PAGE)).unwrap_or_default();
    let recordings = match queries::of_recordings(root) {
        Ok(recordings) => recordings,
        Err(why) => return vec![Finding::new(root.join("configs"), 1, why)],
    };
    let names = recordings.iter().map(|query| query.name.clone());
    let table = Table::read(&page).with_recorded(names);
    let mut findings = of_alerts(root, &table);
    findings.extend(of_queries(&recordings, &table, Place::Alert));
    let mut uids = BTreeSet::new();
    for file in queries::dashboards(root) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let dashboard: Value = match serde_json::from_str(&text) {
            Ok(dashboard) => dashboard,
            Err(why) => {
                findings.push(Finding::new(file, why.line(), why.to_string()));
                continue;
            }
        };
        let mut problems = of_frame(&dashboard);
        if !uids.insert(dashboard["uid"].to_string()) {
            problems.push("its uid is used by another dashboard".to_owned());
        }
        problems.extend(queries::panels(&dashboard).flat_map(of_panel));
        problems.extend(of_places(&dashboard));
        findings.extend(
            problems
                .into_iter()
                .map(|message| Finding::new(&file, 1, message)),
        );
        let asked = queries::of_dashboard(&file, &dashboard, "5m");
        findings.extend(of_queries(&asked, &table, Place::Dashboard));
    }
    findings
}

fn of_alerts(root: &Path, table: &Table) -> Vec<Finding> {
    match queries::of_alerts(root) {
        Ok(alerts) => of_queries(&alerts, table, Place::Alert),
        Err(why) => vec![Finding::new(root.join("configs/alerts.yml"), 1, why)],
    }
}

fn of_queries(asked: &[Query], table: &Table, place: Place) -> Vec<Finding> {
    let each = asked.iter().flat_map(|query| {
        let problems = faults(&query.text, table, place).into_iter();
        problems.map(|fault| Finding::new(&query.file, 1, format!("{}: {fault}", query.name)))
    });
    each.collect()
}

/// Returns errors of the dashboard as a whole.
fn of_frame(dashboard: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let uid = dashboard["uid"].as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if uid.is_empty() || !uid.chars().all(plain) {
        problems.push(format!("uid {uid:?} must consist of a-z, 0-9 and -"));
    }
    for (key, expected) in [
        ("editable", Value::from(false)),
        ("timezone", "browser".into()),
        ("schemaVersion", SCHEMA.into()),
    ] {
        if dashboard[key] != expected {
            problems.push(format!("{key} is {} instead of {expected}", dashboard[key]));
        }
    }
    let variables = dashboard["templating"]["list"]
        .as_array()
        .into_iter()
        .flatten();
    let names: Vec<&str> = variables
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    if names != ["datasource", "job", "instance"] {
        problems.push(format!(
            "its variables are {names:?} instead of datasource, job, instance"
        ));
    }
    problems
}

fn of_panel(panel: &Value) -> Vec<String> {
    let kind = panel["type"].as_str().unwrap_or_default();
    let title = panel["title"].as_str().unwrap_or_default();
    let mut problems = Vec::new();
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    if title.is_empty() {
        problems.push(format!("panel {} has no title", panel["id"]));
    }
    if kind != "row" && !is_text(&panel["description"]) {
        problems.push(format!("{title}: no description"));
    }
    if WITH_UNIT.contains(&kind) {
        if !is_text(&panel["fieldConfig"]["defaults"]["unit"]) {
            problems.push(format!("{title}: no unit"));
        }
        if panel["targets"].as_array().is_none_or(Vec::is_empty) {
            problems.push(format!("{title}: no query"));
        }
        if panel["datasource"]["uid"] != "$datasource" {
            problems.push(format!("{title}: its data source is not $datasource"));
        }
    }
    problems
}

/// Checks that panels have unique ids, lie within the columns, and do not overlap.
fn of_places(dashboard: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in queries::panels(dashboard) {
        let title = panel["title"].as_str().unwrap_or_default();
        if !ids.insert(panel["id"].as_u64()) {
            problems.push(format!("{title}: its id is used by another panel"));
        }
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or(0));
        if w == 0 || h == 0 || x + w > COLUMNS {
            problems.push(format!("{title}: is not within {COLUMNS} columns"));
        }
        let cells = (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line)));
        if cells.filter(|cell| !taken.insert(*cell)).count() > 0 {
            problems.push(format!("{title}: overlaps another panel"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    fn sound() -> Value {
        let file = workspace::root().join("configs/grafana/cache.json");
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    fn reported(dashboard: &Value) -> Vec<String> {
        let panels = queries::panels(dashboard).flat_map(of_panel);
        [of_frame(dashboard), panels.collect(), of_places(dashboard)].concat()
    }

    #[test]
    fn each_mutation_of_a_sound_dashboard_is_found() {
        assert_eq!(reported(&sound()), <[String; 0]>::default());
        let mutations: [(&str, Value, &str); 8] = [
            (
                "/uid",
                "Kearney Cache".into(),
                "must consist of a-z, 0-9 and -",
            ),
            (
                "/editable",
                true.into(),
                "editable is true instead of false",
            ),
            (
                "/templating/list/1/name",
                "jobs".into(),
                "its variables are",
            ),
            ("/panels/0/title", "".into(), "has no title"),
            (
                "/panels/0/fieldConfig/defaults/unit",
                Value::Null,
                "no unit",
            ),
            (
                "/panels/0/datasource/uid",
                "abc".into(),
                "its data source is not $datasource",
            ),
            ("/panels/1/gridPos/x", 0.into(), "overlaps another panel"),
            ("/panels/1/id", 1.into(), "its id is used by another panel"),
        ];
        for (at, value, expected) in mutations {
            let mut mutated = sound();
            *mutated.pointer_mut(at).unwrap() = value;
            let problems = reported(&mutated);
            assert!(
                problems.iter().any(|fault| fault.contains(expected)),
                "{at}: {problems:?}"
            );
        }
    }
}
