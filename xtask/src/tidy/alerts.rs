//! Checks that every alert links a runbook and a view of the admin page, both of which have to exist.

use std::path::{Path, PathBuf};

use super::{Finding, lines_of};
use crate::promql::queries::RULE_FILES;

pub(super) fn check(root: &Path) -> Vec<Finding> {
    let files = RULE_FILES.map(|file| root.join(file));
    files
        .into_iter()
        .flat_map(|file| of_file(root, file))
        .collect()
}

fn of_file(root: &Path, file: PathBuf) -> Vec<Finding> {
    let lines = lines_of(&file);
    if lines.is_empty() {
        return vec![Finding::new(file, 1, "is missing")];
    }
    let has_runbook = |name: &str| root.join("docs/runbooks").join(name).is_file();
    let mut findings = without_runbook(&file, &lines, has_runbook);
    let page = text_of(&root.join("crates/ops-admin/assets/page.html"));
    let mut files = files_in(&root.join(FINDINGS));
    files.extend(RULES.map(|path| root.join(path)));
    let rules: String = files.iter().map(|path| text_of(path)).collect();
    findings.extend(without_view(&file, &lines, |name, value| match name {
        "section" => page.contains(&format!("<section id=\"{value}\"")),
        "finding" => rules.contains(&format!("\"{value}\"")),
        _ => false,
    }));
    findings
}

/// Files with findings outside [`FINDINGS`].
const RULES: [&str; 2] = [
    "crates/kearney-platform/src/rules.rs",
    "crates/ops-layer/src/serve/connections_full.rs",
];
const FINDINGS: &str = "crates/ops-layer/src/findings";

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_file()).collect()
}

fn text_of(path: &Path) -> String {
    let lines = lines_of(path).into_iter().map(|(_, line)| line);
    lines.collect()
}

/// Returns alerts whose `admin_url` is missing, or names a section or finding that does not exist.
fn without_view(
    file: &Path,
    lines: &[(usize, String)],
    is_there: impl Fn(&str, &str) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let missing = |open: Option<(usize, String)>| {
        open.map(|(number, alert)| Finding::new(file, number, format!("{alert} has no admin_url")))
    };
    for (number, line) in lines {
        let line = line.trim().trim_start_matches("- ");
        if let Some(name) = line.strip_prefix("alert:") {
            findings.extend(missing(open.take()));
            open = Some((*number, name.trim().to_owned()));
        } else if let Some(url) = line.strip_prefix("admin_url:") {
            open = None;
            let url = url.trim().trim_matches(['"', '\'']);
            let view = url.split_once('#').map_or("", |(_, view)| view);
            for part in view.split('&') {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                if !is_there(name, value) {
                    let message = format!("{part:?} of {url} is not on the admin page");
                    findings.push(Finding::new(file, *number, message));
                }
            }
        }
    }
    findings.extend(missing(open));
    findings
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
                    format!("{alert}: missing docs/runbooks/{name}"),
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
    fn an_alert_without_a_view_is_found() {
        let text = "- alert: Slow\n  admin_url: 'http://localhost:8001/#finding=slow&section=routes'\n- alert: Bare\n\
                    - alert: Lost\n  admin_url: 'http://localhost:8001/#section=gone'\n- alert: Last\n";
        let lines: Vec<_> = text
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line.to_owned()))
            .collect();
        let findings = without_view(Path::new("alerts.yml"), &lines, |_, value| value != "gone");
        let messages: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            [
                "alerts.yml:3: Bare has no admin_url",
                "alerts.yml:5: \"section=gone\" of http://localhost:8001/#section=gone is not on the admin page",
                "alerts.yml:6: Last has no admin_url"
            ]
        );
    }

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
        let messages: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            [
                "alerts.yml:6: Lost: missing docs/runbooks/lost.md",
                "alerts.yml:9: Bare has no runbook_url"
            ]
        );
    }
}
