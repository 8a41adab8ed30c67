//! Checks that the runbook of an alert names the alert, and a panel that exists.

use std::path::Path;

use serde_json::Value;

use super::Finding;
use crate::promql::queries;

pub(super) fn check(root: &Path) -> Vec<Finding> {
    let panels = panels(root);
    let names: Vec<String> = match queries::of_alerts(root) {
        Ok(alerts) => alerts.into_iter().map(|alert| alert.name).collect(),
        Err(why) => return vec![Finding::new(root.join("configs/alerts.yml"), 1, why)],
    };
    let files = std::fs::read_dir(root.join("docs/runbooks"))
        .into_iter()
        .flatten()
        .flatten();
    let mut findings = Vec::new();
    let mut described = String::new();
    for file in files.map(|file| file.path()) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        findings.extend(
            faults(&text, &names, &panels)
                .into_iter()
                .map(|fault| Finding::new(&file, 1, fault)),
        );
        described += &text;
    }
    let lost = names
        .iter()
        .filter(|name| !described.contains(&format!("`{name}`")));
    let alerts = root.join("configs/alerts.yml");
    findings.extend(lost.map(|name| Finding::new(&alerts, 1, format!("no runbook names {name}"))));
    findings
}

fn panels(root: &Path) -> Vec<String> {
    let texts = queries::dashboards(root)
        .into_iter()
        .filter_map(|file| std::fs::read_to_string(file).ok());
    let dashboards = texts.filter_map(|text| serde_json::from_str::<Value>(&text).ok());
    dashboards
        .flat_map(|dashboard| {
            let titles = queries::panels(&dashboard).filter_map(|panel| panel["title"].as_str());
            titles.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

fn faults(text: &str, alerts: &[String], panels: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(line) = text.lines().find(|line| line.starts_with("Alert:")) else {
        return problems; // not every runbook belongs to an alert
    };
    for name in line.split('`').skip(1).step_by(2) {
        if !alerts.iter().any(|alert| alert == name) {
            problems.push(format!("unknown alert {name}"));
        }
    }
    let named = panels
        .iter()
        .any(|panel| text.contains(&format!("panel {panel}")));
    if !named {
        problems.push("names no panel of a dashboard".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_names_its_alert_and_a_panel() {
        let (alerts, panels) = (["Slow".to_owned()], ["Latency".to_owned()]);
        assert!(faults("Alert: `Slow`.\nSee panel Latency.", &alerts, &panels).is_empty());
        assert_eq!(
            faults("Alert: `Fast`.\nSee panel Speed.", &alerts, &panels),
            ["unknown alert Fast", "names no panel of a dashboard"]
        );
        assert!(faults("No alert.", &alerts, &panels).is_empty());
    }
}
