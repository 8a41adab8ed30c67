use std::fmt::Write as _;

use crate::rules::query::quoted;
use crate::rules::traffic::Input;

/// A test case of promtool.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) inputs: Vec<Input>,
    pub(super) alerts: Vec<AlertAt>,
    pub(super) queries: Vec<QueryAt>,
}

/// Expected state of an alert at a step of a case.
#[derive(Debug)]
pub(super) struct AlertAt {
    pub(super) step: u64,
    pub(super) name: String,
    /// Labels and annotations, if it fires.
    pub(super) fires: Option<[Vec<(&'static str, String)>; 2]>,
}

/// A query at a step of a case, with the labels and values of its result.
#[derive(Debug)]
pub(super) struct QueryAt {
    pub(super) step: u64,
    pub(super) expr: String,
    pub(super) gives: Vec<(String, f64)>,
}

/// Tolerated relative error of a value: versions of Prometheus differ in whether the first sample of a range counts.
const TOLERANCE: f64 = 0.05;

/// Returns a query whose result is 1 if `expr` has about this value, otherwise 0.
pub(super) fn about(expr: &str, value: f64) -> String {
    if value == 0.0 {
        return format!("abs({expr}) < bool {TOLERANCE}");
    }
    format!("abs(({expr}) / {value} - 1) < bool {TOLERANCE}")
}

impl Case {
    /// Appends the case to a file; its steps have `step` minutes.
    pub(super) fn write(&self, text: &mut String, step: u64) {
        // writing to a String does not fail
        let name = quoted(&self.name);
        let _ = writeln!(text, "- name: {name}\n  interval: {step}m\n  input_series:");
        for (series, values) in &self.inputs {
            let series = quoted(series);
            let _ = writeln!(text, "  - series: {series}\n    values: {values}");
        }
        if !self.alerts.is_empty() {
            *text += "  alert_rule_test:\n";
        }
        for alert in &self.alerts {
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
        if !self.queries.is_empty() {
            *text += "  promql_expr_test:\n";
        }
        for query in &self.queries {
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
}
