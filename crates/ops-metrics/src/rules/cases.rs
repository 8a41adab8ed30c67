use std::fmt::Write as _;

use crate::rules::burn::BURNS;
use crate::rules::query::quoted;
use crate::rules::slo::Objective;
use crate::rules::traffic::Input;
use crate::rules::{alert_cases, dashboard_cases, ratio_cases};
use crate::series::family::Family;

/// A test case of promtool.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) inputs: Vec<Input>,
    pub(super) alerts: Vec<AlertAt>,
    pub(super) queries: Vec<QueryAt>,
}

/// An alert at a step of a case.
#[derive(Debug)]
pub(super) struct AlertAt {
    pub(super) step: u64,
    pub(super) name: String,
    /// Labels and annotations, if it fires.
    pub(super) fires: Option<[Vec<(&'static str, String)>; 2]>,
}

/// A query at a step of a case, and labels and values of what it gives.
#[derive(Debug)]
pub(super) struct QueryAt {
    pub(super) step: u64,
    pub(super) expr: String,
    pub(super) gives: Vec<(String, f64)>,
}

/// Relative error that a value may have: versions of Prometheus differ in whether the first sample of a range counts.
const TOLERANCE: f64 = 0.05;

/// Returns files of cases, each with the minutes of its steps.
pub(super) fn of(
    rule_file: &str,
    objectives: &[Objective],
    catalog: &[&'static Family],
) -> Vec<(u64, String)> {
    let of_step = |step: u64| {
        let of_one = |objective| {
            let mut cases = alert_cases::of(objective, step);
            cases.extend(ratio_cases::of(objective, step));
            cases
        };
        let mut cases: Vec<Case> = objectives.iter().flat_map(of_one).collect();
        if step == dashboard_cases::STEP {
            cases.extend(dashboard_cases::of(objectives, catalog));
        }
        (step, file(rule_file, step, &cases))
    };
    BURNS.iter().map(|burn| of_step(burn.step)).collect()
}

/// Returns a query that gives 1 where `expr` gives this value, and else 0.
pub(super) fn about(expr: &str, value: f64) -> String {
    if value == 0.0 {
        return format!("abs({expr}) < bool {TOLERANCE}");
    }
    format!("abs(({expr}) / {value} - 1) < bool {TOLERANCE}")
}

fn file(rule_file: &str, step: u64, cases: &[Case]) -> String {
    let rule_file = quoted(rule_file);
    let mut text = format!("rule_files:\n- {rule_file}\nevaluation_interval: {step}m\ntests:\n");
    for case in cases {
        write_case(&mut text, step, case);
    }
    if cases.is_empty() {
        text = text.replace("tests:\n", "tests: []\n");
    }
    text
}

// writing to a String does not fail
fn write_case(text: &mut String, step: u64, case: &Case) {
    let name = quoted(&case.name);
    let _ = writeln!(text, "- name: {name}\n  interval: {step}m\n  input_series:");
    for (series, values) in &case.inputs {
        let series = quoted(series);
        let _ = writeln!(text, "  - series: {series}\n    values: {values}");
    }
    if !case.alerts.is_empty() {
        *text += "  alert_rule_test:\n";
    }
    for alert in &case.alerts {
        let (minutes, name) = (alert.step * step, &alert.name);
        let _ = writeln!(text, "  - eval_time: {minutes}m\n    alertname: {name}");
        let Some([labels, annotations]) = &alert.fires else {
            *text += "    exp_alerts: []\n";
            continue;
        };
        *text += "    exp_alerts:\n    - exp_labels:\n";
        for (label, value) in labels {
            let _ = writeln!(text, "        {label}: {}", quoted(value));
        }
        *text += "      exp_annotations:\n";
        for (annotation, value) in annotations {
            let _ = writeln!(text, "        {annotation}: {}", quoted(value));
        }
    }
    if !case.queries.is_empty() {
        *text += "  promql_expr_test:\n";
    }
    for query in &case.queries {
        let (minutes, expr) = (query.step * step, quoted(&query.expr));
        let _ = writeln!(
            text,
            "  - expr: {expr}\n    eval_time: {minutes}m\n    exp_samples:"
        );
        for (labels, value) in &query.gives {
            let labels = quoted(labels);
            let _ = writeln!(text, "    - labels: {labels}\n      value: {value}");
        }
    }
}
