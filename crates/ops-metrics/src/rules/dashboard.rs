use serde_json::{Value, json};

use crate::rules::panel::{self, Panel};
use crate::rules::slo::Objective;
use crate::series::family::Family;

const COLUMNS: u64 = 24;
const WIDTH: u64 = 12;
const HEIGHT: u64 = 8;

/// Returns the dashboard as JSON: the objectives, then the metrics.
pub(super) fn of(name: &str, objectives: &[Objective], catalog: &[&'static Family]) -> String {
    let of_objectives: Vec<Panel> = objectives.iter().flat_map(panel::of_objective).collect();
    let of_catalog: Vec<Panel> = catalog
        .iter()
        .flat_map(|family| panel::of_family(family))
        .collect();
    let rows = [("Objectives", of_objectives), ("Metrics", of_catalog)];
    let mut panels = Vec::new();
    let mut y = 0;
    for (title, of_row) in rows.iter().filter(|(_, panels)| !panels.is_empty()) {
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": { "h": 1, "w": COLUMNS, "x": 0, "y": y },
        }));
        y += 1;
        let mut x = 0;
        for panel in of_row {
            panels.push(timeseries(panel, panels.len() + 1, (x, y)));
            (x, y) = if x + WIDTH < COLUMNS {
                (x + WIDTH, y)
            } else {
                (0, y + HEIGHT)
            };
        }
        y += if x > 0 { HEIGHT } else { 0 };
    }
    let dashboard = json!({
        "uid": name,
        "title": name,
        "editable": false,
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": { "from": "now-6h", "to": "now" },
        "tags": ["ops-metrics"],
        "templating": { "list": [
            { "name": "datasource", "label": "Data Source", "type": "datasource", "query": "prometheus" },
            variable("job", "Job", "label_values(up, job)"),
            variable("instance", "Instance", "label_values(up{job=~\"$job\"}, instance)"),
        ] },
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

fn variable(name: &str, label: &str, query: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "query": query, "refresh": 2,
        "includeAll": true, "multi": true, "allValue": ".+", "datasource": datasource(),
    })
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "$datasource" })
}

fn timeseries(panel: &Panel, id: usize, (x, y): (u64, u64)) -> Value {
    let targets = panel
        .targets
        .iter()
        .zip('A'..='Z')
        .map(|(target, reference)| {
            json!({
                "refId": reference.to_string(), "expr": target.expr, "legendFormat": target.legend,
                "datasource": datasource(),
            })
        });
    json!({
        "id": id,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": datasource(),
        "gridPos": { "h": HEIGHT, "w": WIDTH, "x": x, "y": y },
        "fieldConfig": { "defaults": { "unit": panel.unit, "noValue": "no data" }, "overrides": [] },
        "targets": targets.collect::<Vec<_>>(),
    })
}
