use std::path::{Path, PathBuf};

use ops_metrics::{CATALOG, Family};

use crate::cases::tested_with;
use crate::promtool::promtool;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn alerts_fire_when_they_should_and_stay_quiet_otherwise() {
    let Some(promtool) = promtool() else { return };
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = ["alerts", "alerts_of_objectives", "alerts_of_days"];
    let files = files.map(|name| format!("{name}.yml"));
    if let Err(logged) = tested_with(&promtool, &cases, &workspace().join("configs"), &files) {
        panic!("{logged}");
    }
}

#[test]
fn each_alert_has_three_cases_of_which_one_fires() {
    let alerts = std::fs::read_to_string(workspace().join("configs/alerts.yml")).unwrap();
    let cases = concat!(
        include_str!("../alerts.yml"),
        include_str!("../alerts_of_objectives.yml"),
        include_str!("../alerts_of_days.yml")
    );
    let names = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let of_alert: Vec<&str> = cases
            .split("- name: '")
            .filter(|case| case.starts_with(&format!("{name}: ")))
            .collect();
        assert!(of_alert.len() >= 3, "{name} has {} cases", of_alert.len());
        let firing = of_alert
            .iter()
            .filter(|case| case.contains("exp_labels"))
            .count();
        assert!(
            (1..of_alert.len()).contains(&firing),
            "{name}: {firing} cases fire"
        );
    }
    assert!(
        !cases.contains("fuzzy_compare"),
        "promtool 2.42 does not know it"
    );
}

#[cfg(feature = "http")]
#[test]
fn alerts_and_panels_about_requests_leave_out_the_quiet_routes() {
    let matcher = format!("route!~\"{}\"", ops_http::QUIET_ROUTES.join("|"));
    let families = ["http_requests_total", "http_request_latency_seconds_"];
    let mut selectors = 0;
    for file in [
        "configs/alerts.yml",
        "configs/slo.yml",
        "configs/grafana/api.json",
    ] {
        let text = std::fs::read_to_string(workspace().join(file)).unwrap();
        let text = text.replace("\\\"", "\"");
        for family in families {
            for (_, found) in text.match_indices(family).map(|(at, _)| text.split_at(at)) {
                let name = |char: char| char.is_ascii_lowercase() || char == '_';
                let after = found.trim_start_matches(name);
                let selector = match after.chars().next() {
                    Some('{') => after.split('}').next().unwrap(),
                    Some('[') => "no selector",
                    _ => continue, // the absence of all series, and texts for people
                };
                if !selector.contains("route=\"unmatched\"") {
                    assert!(selector.contains(&matcher), "{file}: {selector}");
                    selectors += 1;
                }
            }
        }
    }
    assert!(selectors > 40, "{selectors}");
}

/// Compares the rows of `docs/metrics.md` for the built-in metrics with the catalog.
#[test]
fn the_table_in_docs_is_the_catalog() {
    const HEAD: &str =
        "## Built in\n\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n";
    let file = workspace().join("docs/metrics.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let rows: String = CATALOG.iter().map(|family| row(family())).collect();
    let (before, after) = page.split_once(HEAD).unwrap();
    let (found, after) = after.split_once("\n\n## ").unwrap();
    if std::env::var_os("OPS_TEST_UPDATE").is_some() {
        let updated = format!("{before}{HEAD}{rows}\n## {after}");
        std::fs::write(&file, updated).unwrap();
        return;
    }
    assert_eq!(format!("{found}\n"), rows, "run it with OPS_TEST_UPDATE=1");
}

fn row(family: &Family) -> String {
    let definition = family.definition();
    let labels: Vec<_> = definition
        .labels
        .iter()
        .map(|label| format!("`{}`", label.name))
        .collect();
    format!(
        "| `{}` | {} | {} | {} | {} |\n",
        definition.name,
        definition.kind.as_str(),
        definition.unit(),
        labels.join(", "),
        definition.help()
    )
}
