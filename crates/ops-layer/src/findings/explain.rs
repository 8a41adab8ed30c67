//! Order of findings: causes before what they explain.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind::StorageFull;

use super::export::COLLECTOR;
use super::secrets::AWS;
use super::{Finding, Severity};

/// Findings about conditions that prevent writing a file.
const DISKS: [&str; 3] = ["disk_full", "disk_nearly_full", "descriptors_low"];

/// Consequences, each with the findings that can be its cause, the likeliest first.
const CAUSES: [(&str, &[&str]); 22] = [
    ("spans_dropped", &["collector_slow", "cpu_throttled"]),
    ("collector_unreachable", &["descriptors_low"]),
    ("collector_refusing", &["descriptors_low"]),
    ("collector_slow", &["cpu_throttled"]),
    ("aws_credentials", &["clock_stepped"]),
    ("aws_unreachable", &["descriptors_low"]),
    ("required_secret_missing", &["secret_source_failing"]),
    ("secret_stale", &["secret_source_failing"]),
    ("secret_source_failing", &["descriptors_low"]),
    ("log_file_not_writable", &DISKS),
    ("history_stopped", &DISKS),
    ("history_untidy", &DISKS),
    ("black_box_off", &DISKS),
    ("log_lines_dropped", &["log_file_not_writable"]),
    ("cache_writes_paused", &["disk_full"]),
    ("cache_hit_collapsed", &["clock_stepped"]),
    (
        "duckdb_failing",
        &["engine_unreachable", "disk_full", "memory_near_limit"],
    ),
    (
        "duckdb_slow",
        &["cpu_throttled", "memory_near_limit", "cache_hit_collapsed"],
    ),
    ("workers_blocked", &["cpu_throttled"]),
    ("descriptors_low", &["connections_full"]),
    (
        "requests_slow",
        &[
            "workers_blocked",
            "connections_full",
            "duckdb_slow",
            "engine_unreachable",
            "provider_failing",
            "cache_hit_collapsed",
            "cpu_throttled",
            "memory_near_limit",
        ],
    ),
    (
        "requests_failing",
        &[
            "workers_blocked",
            "connections_full",
            "duckdb_failing",
            // usual names of an application's own rules
            "engine_unreachable",
            "required_secret_missing",
            "provider_failing",
            "descriptors_low",
        ],
    ),
];

/// Causes of slow responses that wait for queries of the cache.
const OF_QUERIES: [&str; 2] = ["duckdb_slow", "cache_hit_collapsed"];

/// Findings with a cause that has several names.
const FAMILIES: [(&str, &[&str]); 4] = [
    ("spans_dropped", &COLLECTOR),
    ("required_secret_missing", &AWS),
    ("default_in_production", &AWS),
    ("secret_stale", &AWS),
];

/// Marks what is explained, and sorts: causes with the most severe consequences first, each followed
/// by what it explains. Of two equally severe ones, the one that explains others comes first.
pub(crate) fn ordered(mut findings: Vec<Finding>) -> Vec<Finding> {
    let causes: Vec<_> = findings.iter().map(|of| cause(of, &findings)).collect();
    for (finding, cause) in findings.iter_mut().zip(causes) {
        finding.explained_by = cause;
    }
    let mut most_severe: HashMap<_, _> = findings.iter().map(|of| (of.id, of.severity)).collect();
    // as many times as a chain can be long
    for _ in 0..findings.len() {
        for finding in &findings {
            let of_finding = most_severe[finding.id];
            if let Some(of_cause) = finding.explained_by.and_then(|id| most_severe.get_mut(id)) {
                *of_cause = of_finding.max(*of_cause);
            }
        }
    }
    let explaining: HashSet<_> = findings.iter().filter_map(|of| of.explained_by).collect();
    findings.sort_by_key(|finding| {
        let id = finding.id;
        let (most_severe, severity) = (Reverse(most_severe[id]), Reverse(finding.severity));
        (
            most_severe,
            !explaining.contains(id),
            severity,
            finding.since,
            id,
        )
    });
    let mut sorted = Vec::with_capacity(findings.len());
    loop {
        let is_root = |finding: &Finding| finding.explained_by.is_none();
        let mut all = findings.iter();
        // if causes explain each other, the first of them is taken as the cause
        let Some(root) = all.position(is_root).or_else(|| {
            let mut all = findings.iter();
            all.position(|finding| is_in_cycle(finding, &findings))
        }) else {
            return sorted;
        };
        let mut root = findings.remove(root);
        root.explained_by = None;
        take(root, &mut findings, &mut sorted);
    }
}

/// Returns whether its causes lead back to it.
fn is_in_cycle(of: &Finding, all: &[Finding]) -> bool {
    let cause = |of: &Finding| all.iter().find(|one| of.explained_by == Some(one.id));
    let causes = std::iter::successors(cause(of), |one| cause(one));
    causes.take(all.len()).any(|one| one.id == of.id)
}

fn cause(of: &Finding, all: &[Finding]) -> Option<&'static str> {
    let stands = |id: &&str| *id != of.id && all.iter().any(|finding| finding.id == *id);
    let named = of.explained_by.filter(stands);
    // a rule that names a cause knows better than the table; but panics may have a cause that also fails requests
    if of.explained_by.is_some_and(|id| id != "panics") {
        return named;
    }
    let explains = |id: &&str| {
        let mut all = all.iter();
        all.any(|finding| finding.id == *id && *id != of.id && explains(finding, of))
    };
    let tables = FAMILIES.iter().chain(&CAUSES);
    let mut tables = tables.filter(|(consequence, _)| *consequence == of.id);
    let of_table = tables.find_map(|(_, causes)| {
        let causes = || causes.iter().copied().filter(explains);
        // first the causes on the same route
        let has_route = |id: &&str| {
            let mut all = all.iter();
            all.any(|finding| finding.id == *id && finding.route == of.route)
        };
        let is_of_route = of.route.is_some() && !of.has_other_routes;
        let on_route = causes().find(|id| is_of_route && has_route(id));
        on_route.or_else(|| causes().next())
    });
    of_table.or(named)
}

/// Returns whether the observation fits a cause from the table.
fn explains(cause: &Finding, of: &Finding) -> bool {
    let says = |text: &str| of.seen.contains(text);
    match (cause.id, of.id) {
        // 24 is EMFILE: only then did opening fail for lack of a descriptor
        ("descriptors_low", "requests_failing") => cause.severity == Severity::Critical,
        ("descriptors_low", _) => says("(os error 24)"),
        ("disk_full", "cache_writes_paused" | "duckdb_failing") => true,
        // 28 is ENOSPC; the history stops earlier, because it leaves a reserve on the disk
        ("disk_full" | "disk_nearly_full", _) => {
            says("(os error 28)") || says(&StorageFull.to_string())
        }
        (id, _) if of.without_queries && OF_QUERIES.contains(&id) => false,
        // requests that wait do not panic
        ("workers_blocked" | "connections_full", _) => of.explained_by != Some("panics"),
        // a failure on one route is not the cause of failures on others
        ("provider_failing", _) => {
            cause.route.is_none() || of.route.is_none() || cause.route == of.route
        }
        _ => true,
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
    use crate::findings::Severity::{Critical, Info, Warning};

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
        let rows: [(&[Given], &[&str]); 7] = [
            (&[], &[]),
            (
                &[
                    ("spans_dropped", Warning, None),
                    ("collector_hung", Warning, None),
                ],
                &["collector_hung", "spans_dropped<collector_hung"],
            ),
            // a consequence follows its cause even if it is more severe
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
            // a cause without a finding explains nothing
            (
                &[("log_file_not_writable", Info, Some("disk_full"))],
                &["log_file_not_writable"],
            ),
            // mutual causes terminate
            (
                &[("a", Info, Some("b")), ("b", Warning, Some("a"))],
                &["b", "a<b"],
            ),
            // a finding that leads to them keeps its cause
            (
                &[
                    ("x", Critical, Some("a")),
                    ("a", Critical, Some("b")),
                    ("b", Warning, Some("c")),
                    ("c", Warning, Some("b")),
                ],
                &["b", "a<b", "x<a", "c<b"],
            ),
        ];
        for (given, right) in rows {
            assert_eq!(order(given), right, "{given:?}");
        }
    }
}
