use crate::rules::burn::{self, BURNS};
use crate::rules::case::Case;
use crate::rules::query::quoted;
use crate::rules::slo::Objective;
use crate::rules::{alert_cases, dashboard_cases, ratio_cases, threshold_cases};
use crate::series::family::Family;

/// Returns the files of cases, each with the minutes of its steps.
pub(super) fn of(
    rule_file: &str,
    objectives: &[Objective],
    catalog: &[&'static Family],
) -> Vec<(u64, String)> {
    let of_step = |step: u64| {
        let of_one = |objective| {
            let mut cases = Vec::new();
            for alert in burn::alerts(objective) {
                if alert.burn.step == step {
                    cases.extend(alert_cases::of(objective, &alert, step));
                    cases.extend(threshold_cases::of(objective, &alert, step));
                }
            }
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

fn file(rule_file: &str, step: u64, cases: &[Case]) -> String {
    let rule_file = quoted(rule_file);
    let mut text = format!("rule_files:\n- {rule_file}\nevaluation_interval: {step}m\ntests:\n");
    for case in cases {
        case.write(&mut text, step);
    }
    if cases.is_empty() {
        text = text.replace("tests:\n", "tests: []\n");
    }
    text
}
