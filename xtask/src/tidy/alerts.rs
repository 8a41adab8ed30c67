//! Every alert of configs/alerts.yml has a runbook, and names it.

use super::{Finding, lines_of};
use std::path::Path;

pub(super) fn check(root: &Path) -> Vec<Finding> {
    let file = root.join("configs/alerts.yml");
    let lines = lines_of(&file);
    if lines.is_empty() {
        return vec![Finding::new(file, 1, "is missing")];
    }
    let has_runbook = |name: &str| root.join("docs/runbooks").join(name).is_file();
    without_runbook(&file, &lines, has_runbook)
}

fn without_runbook(
    file: &Path,
    lines: &[(usize, String)],
    has_runbook: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut alerts: Vec<(usize, &str, Option<&str>)> = Vec::new();
    for (number, line) in lines {
        let line = line.trim().trim_start_matches("- ");
        if let Some(name) = line.strip_prefix("alert:") {
            alerts.push((*number, name.trim(), None));
        } else if let (Some(url), Some(alert)) =
            (line.strip_prefix("runbook_url:"), alerts.last_mut())
        {
            alert.2 = url.trim().trim_matches(['"', '\'']).rsplit('/').next();
        }
    }
    for (number, alert, runbook) in alerts {
        // an anchor points into the page
        match runbook.map(|name| name.split('#').next().unwrap_or(name)) {
            None => findings.push(Finding::new(
                file,
                number,
                format!("{alert} has no runbook_url"),
            )),
            Some(name) if !has_runbook(name) => {
                findings.push(Finding::new(
                    file,
                    number,
                    format!("{alert}: there is no docs/runbooks/{name}"),
                ));
            }
            Some(_) => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_without_a_page_is_found() {
        let text = "groups:\n- rules:\n  - alert: Slow\n    annotations:\n      runbook_url: \"https://x/docs/runbooks/slow.md#a\"\n  \
                    - alert: Lost\n    annotations:\n      runbook_url: docs/runbooks/lost.md\n  - alert: Bare\n";
        let lines: Vec<_> = text
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line.to_owned()))
            .collect();
        let findings = without_runbook(Path::new("alerts.yml"), &lines, |name| name == "slow.md");
        let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "alerts.yml:6: Lost: there is no docs/runbooks/lost.md",
                "alerts.yml:9: Bare has no runbook_url"
            ]
        );
    }
}
