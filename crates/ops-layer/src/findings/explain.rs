//! Causes come before what they explain.

use std::cmp::Reverse;

use super::Finding;
use super::export::COLLECTOR;
use super::secrets::AWS;

/// Consequence, and the findings that can be its cause, the likeliest first.
const CAUSES: [(&str, &[&str]); 16] = [
    ("spans_dropped", &["collector_slow", "cpu_throttled"]),
    ("collector_unreachable", &["descriptors_low"]),
    ("collector_slow", &["cpu_throttled"]),
    ("aws_credentials", &["clock_stepped"]),
    ("aws_unreachable", &["descriptors_low"]),
    ("required_secret_missing", &["secret_source_failing"]),
    ("secret_stale", &["secret_source_failing"]),
    ("log_file_not_writable", &["descriptors_low"]),
    ("log_lines_dropped", &["log_file_not_writable"]),
    ("cache_writes_paused", &["disk_full"]),
    ("cache_hit_collapsed", &["clock_stepped"]),
    ("duckdb_failing", &["disk_full", "memory_near_limit"]),
    (
        "duckdb_slow",
        &["cpu_throttled", "memory_near_limit", "cache_hit_collapsed"],
    ),
    ("workers_blocked", &["cpu_throttled"]),
    ("descriptors_low", &["connections_full"]),
    (
        "requests_failing",
        &[
            "workers_blocked",
            "connections_full",
            "duckdb_failing",
            "required_secret_missing",
            // the usual name of an application's own rule
            "provider_failing",
            "panics",
            "descriptors_low",
        ],
    ),
];

/// Findings that share a cause of several names.
const FAMILIES: [(&str, &[&str]); 4] = [
    ("spans_dropped", &COLLECTOR),
    ("required_secret_missing", &AWS),
    ("default_in_production", &AWS),
    ("secret_stale", &AWS),
];

/// Marks what is explained, and sorts: the most severe cause first, each followed by what it explains.
pub(crate) fn ordered(mut findings: Vec<Finding>) -> Vec<Finding> {
    let ids: Vec<_> = findings.iter().map(|finding| finding.id).collect();
    for finding in &mut findings {
        let id = finding.id;
        let stands = |cause: &&str| *cause != id && ids.contains(cause);
        let of_table = || {
            let mut tables = FAMILIES.iter().chain(&CAUSES);
            tables.find_map(|(of, causes)| {
                let mut causes = causes.iter().copied();
                causes.find(stands).filter(|_| *of == id)
            })
        };
        // a rule that names a cause knows better than the table
        finding.explained_by = match finding.explained_by {
            Some(cause) => Some(cause).filter(stands),
            None => of_table(),
        };
    }
    findings.sort_by_key(|finding| (Reverse(finding.severity), finding.since, finding.id));
    let mut sorted = Vec::with_capacity(findings.len());
    loop {
        let is_root = |finding: &Finding| finding.explained_by.is_none();
        // where causes explain each other, the first one is taken for the cause
        let Some(root) = findings
            .iter()
            .position(is_root)
            .or((!findings.is_empty()).then_some(0))
        else {
            return sorted;
        };
        let mut root = findings.remove(root);
        root.explained_by = None;
        take(root, &mut findings, &mut sorted);
    }
}

fn take(finding: Finding, rest: &mut Vec<Finding>, sorted: &mut Vec<Finding>) {
    let id = finding.id;
    sorted.push(finding);
    while let Some(at) = rest.iter().position(|other| other.explained_by == Some(id)) {
        let explained = rest.remove(at);
        take(explained, rest, sorted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Severity::{self, Critical, Info, Warning};

    /// Id, severity and cause.
    type Given = (&'static str, Severity, Option<&'static str>);

    fn order(given: &[Given]) -> Vec<String> {
        let finding = |(id, severity, cause): &Given| {
            let finding = Finding::new(id, *severity).since(std::time::SystemTime::UNIX_EPOCH);
            match cause {
                Some(cause) => finding.explained_by(cause),
                None => finding,
            }
        };
        let sorted = ordered(given.iter().map(finding).collect());
        let text = |finding: Finding| match finding.explained_by {
            Some(cause) => format!("{}<{cause}", finding.id),
            None => finding.id.to_owned(),
        };
        sorted.into_iter().map(text).collect()
    }

    #[test]
    fn causes_come_first_and_consequences_follow_their_cause() {
        let rows: [(&[Given], &[&str]); 6] = [
            (&[], &[]),
            (
                &[
                    ("spans_dropped", Warning, None),
                    ("collector_hung", Warning, None),
                ],
                &["collector_hung", "spans_dropped<collector_hung"],
            ),
            // a consequence may be graver than its cause, and stands behind it all the same
            (
                &[
                    ("required_secret_missing", Critical, None),
                    ("panics", Warning, None),
                    ("aws_throttled", Warning, None),
                ],
                &[
                    "aws_throttled",
                    "required_secret_missing<aws_throttled",
                    "panics",
                ],
            ),
            // a chain
            (
                &[
                    ("log_lines_dropped", Warning, None),
                    ("log_file_not_writable", Critical, Some("disk_full")),
                    ("disk_full", Critical, None),
                ],
                &[
                    "disk_full",
                    "log_file_not_writable<disk_full",
                    "log_lines_dropped<log_file_not_writable",
                ],
            ),
            // a cause that does not stand explains nothing
            (
                &[("log_file_not_writable", Info, Some("disk_full"))],
                &["log_file_not_writable"],
            ),
            // causes of each other end
            (
                &[("a", Info, Some("b")), ("b", Warning, Some("a"))],
                &["b", "a<b"],
            ),
        ];
        for (given, right) in rows {
            assert_eq!(order(given), right, "{given:?}");
        }
    }
}
