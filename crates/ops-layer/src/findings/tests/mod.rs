//! Each rule with its own clock: rows of changes, and the findings that result.

mod failures;
mod logs;
mod process_rows;
mod rows;
mod slow;
mod standing;

use std::time::{Duration, SystemTime};

use crate::findings::snapshot::{
    Cache, Disk, Export, Heartbeat, History, Log, Metrics, Queries, SecretState, Secrets, Shared,
    Snapshot,
};
use crate::findings::state::State;
use crate::findings::{EVERY, Finding, RULES};

use process_rows::process_rows;
use rows::rows;

type Set = Box<dyn Fn(&mut Snapshot)>;

/// Name, change of a snapshot, number of evaluations that it lasts, and
/// the findings in order with a part of the first one's observation.
type Row = (&'static str, Set, u64, Vec<&'static str>, &'static str);

/// Creates the snapshot of a healthy service, `seconds` after its start.
fn healthy(seconds: u64) -> Snapshot {
    let n = seconds;
    Snapshot {
        at: Duration::from_secs(seconds),
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds),
        is_production: true,
        export: Some(Export {
            endpoint: Some("http://collector:4318/v1/traces".to_owned()),
            ended: n * 100,
            last_duration: Some(Duration::from_millis(5)),
            ..Export::default()
        }),
        secrets: Some(Secrets {
            known: vec![secret("api_key", |_| {})],
            stale_served: 0,
        }),
        log: Some(Log {
            written: n * 10,
            ..Log::default()
        }),
        black_box: None,
        history: Some(History {
            written: n * 100,
            ..History::default()
        }),
        cache: Some(Cache {
            hits: n * 90,
            misses: n * 10,
            ..Cache::default()
        }),
        shared: Some(Shared {
            dropped: n,
            ..Shared::default()
        }),
        queries: Some(Queries {
            run: n * 10,
            ..Queries::default()
        }),
        metrics: Some(Metrics {
            requests: (n * 100) as f64,
            open_fds: Some(40.0),
            max_fds: Some(1024.0),
            memory: Some(500e6),
            memory_limit: Some(1e9),
            oom_kills: Some(0.0),
            cpu_limit: Some(2.0),
            cpu_periods: Some((n * 10) as f64),
            throttled_periods: Some((n / 10) as f64),
            throttled_seconds: Some(n as f64 / 1000.0),
            ..Metrics::default()
        }),
        disks: vec![Disk {
            path: "/var/lib/app".to_owned(),
            total: 100 << 30,
            free: 50 << 30,
            free_files: Some(1_000_000),
            files: None,
        }],
        heartbeat: Heartbeat {
            waiting: None,
            longest: Duration::from_millis(3),
            workers: 4,
        },
    }
}

fn secret(name: &str, set: impl Fn(&mut SecretState)) -> SecretState {
    let mut secret = SecretState {
        name: name.to_owned(),
        env_var: name.to_uppercase(),
        is_required: true,
        is_present: true,
        is_asked: true,
        is_sensitive: true,
        ..SecretState::default()
    };
    set(&mut secret);
    secret
}

fn answers(kind: &'static str, failure: &'static str) -> Set {
    all(vec![
        collector(kind, None),
        export(|export| (export.failure, export.export_failed) = (failure.to_owned(), 0)),
    ])
}

/// Returns the findings after ten healthy minutes and this many evaluations with the change of `set`.
fn found(evaluations: u64, set: impl Fn(&mut Snapshot)) -> Vec<Finding> {
    let mut state = State::default();
    let mut seconds = 0;
    while seconds < 600 {
        let (findings, _) = state.evaluate(healthy(seconds), Vec::new());
        assert!(findings.is_empty(), "{findings:?}");
        seconds += EVERY.as_secs();
    }
    let mut last = Vec::new();
    for _ in 0..evaluations {
        let mut snapshot = healthy(seconds);
        set(&mut snapshot);
        (last, _) = state.evaluate(snapshot, Vec::new());
        seconds += EVERY.as_secs();
    }
    last
}

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.id).collect()
}

fn export(set: impl Fn(&mut Export) + 'static) -> Set {
    Box::new(move |snapshot| set(snapshot.export.as_mut().unwrap()))
}

fn collector(kind: &'static str, status: Option<u16>) -> Set {
    export(move |export| {
        export.failing_for = Some(Duration::from_secs(20));
        (export.kind, export.status) = (kind, status);
        "the answer".clone_into(&mut export.failure);
        export.export_failed = 100;
    })
}

/// Sets that no sampled span has ended since the first ten minutes.
fn nothing_to_send() -> Set {
    export(|export| export.ended = 60_000)
}

fn secrets(set: impl Fn(&mut SecretState) + 'static) -> Set {
    Box::new(move |snapshot| set(&mut snapshot.secrets.as_mut().unwrap().known[0]))
}

fn failing(kind: &'static str, is_present: bool) -> Set {
    secrets(move |secret| {
        secret.error = Some(kind);
        secret.is_present = is_present;
        secret.failed_at = "aws_ssm";
        "the answer of AWS".clone_into(&mut secret.detail);
    })
}

fn failing_at(source: &'static str, kind: &'static str, is_present: bool) -> Set {
    secrets(move |secret| {
        (secret.error, secret.failed_at) = (Some(kind), source);
        secret.is_present = is_present;
        "its answer".clone_into(&mut secret.detail);
    })
}

fn metrics(set: impl Fn(&mut Metrics) + 'static) -> Set {
    Box::new(move |snapshot| set(snapshot.metrics.as_mut().unwrap()))
}

fn disk(total: u64, free: u64, files: u64) -> Set {
    Box::new(move |snapshot| {
        snapshot.disks[0].total = total;
        snapshot.disks[0].free = free;
        snapshot.disks[0].free_files = Some(files);
    })
}

fn cache(set: impl Fn(&mut Cache, u64) + 'static) -> Set {
    Box::new(move |snapshot| {
        let seconds = snapshot.at.as_secs();
        set(snapshot.cache.as_mut().unwrap(), seconds - 600);
    })
}

fn shared(set: impl Fn(&mut Shared) + 'static) -> Set {
    Box::new(move |snapshot| set(snapshot.shared.as_mut().unwrap()))
}

fn queries(set: impl Fn(&mut Queries) + 'static) -> Set {
    Box::new(move |snapshot| set(snapshot.queries.as_mut().unwrap()))
}

fn log(problem: &'static str, dropped: u64) -> Set {
    Box::new(move |snapshot| {
        let log = snapshot.log.as_mut().unwrap();
        log.dropped = dropped;
        let (of_stdout, of_file) = match problem {
            "" => (dropped, 0),
            _ => (0, dropped),
        };
        log.lost = vec![
            ("stdout".to_owned(), of_stdout),
            ("logs/app.log".to_owned(), of_file),
        ];
        if !problem.is_empty() {
            log.problems = vec![("logs/app.log".to_owned(), problem.to_owned())];
        }
    })
}

fn all(sets: Vec<Set>) -> Set {
    Box::new(move |snapshot| sets.iter().for_each(|set| set(snapshot)))
}

#[test]
fn each_rule_finds_what_it_is_for_and_nothing_else() {
    for (name, set, evaluations, right, text) in rows().into_iter().chain(process_rows()) {
        let findings = found(evaluations, set);
        assert_eq!(ids(&findings), right, "{name}: {findings:#?}");
        for finding in &findings {
            let texts = [&finding.seen, &finding.means, &finding.action];
            assert!(
                texts.iter().all(|text| !text.is_empty()),
                "{name}: {finding:?}"
            );
        }
        if let Some(first) = findings.first() {
            assert!(first.seen.contains(text), "{name}: {}", first.seen);
            assert_eq!(first.explained_by, None);
        }
        if let [first, second, ..] = findings.as_slice()
            && name != "another disk full"
        {
            assert_eq!(second.explained_by, Some(first.id), "{name}");
        }
    }
}

#[test]
fn production_is_named_as_it_is_for_logs_and_secrets() {
    for (env, right) in [
        ("production", true),
        (" production\r", true),
        ("Production", false),
        ("development", false),
        ("", false),
    ] {
        assert_eq!(crate::findings::names_production(env), right, "{env:?}");
    }
}

#[test]
fn every_rule_has_a_row_and_a_runbook() {
    let found: Vec<_> = rows()
        .into_iter()
        .chain(process_rows())
        .flat_map(|row| found(row.2, row.1))
        .collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
    for id in RULES.iter().flat_map(|rule| rule.ids) {
        if *id == "rule_failing" {
            continue; // about rules of the application
        }
        let finding = found.iter().find(|finding| finding.id == *id);
        let finding = finding.unwrap_or_else(|| panic!("no row finds {id}"));
        let page = finding
            .runbook
            .unwrap_or_else(|| panic!("{id} has no runbook"));
        assert!(folder.join(format!("{page}.md")).exists(), "{page}.md");
    }
}
