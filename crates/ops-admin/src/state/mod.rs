//! State of the service as one document: the response of `/api/state`, whose changes the stream sends.
//!
//! A part that is compiled out has a module with the same interface in `absent`; only this file chooses between them.

#[cfg_attr(not(feature = "cache"), path = "absent/cache.rs")]
mod cache;
mod dependency;
mod history;
mod jobs;
mod last_run;
#[cfg_attr(not(feature = "log"), path = "absent/log.rs")]
pub(crate) mod log;
#[cfg_attr(not(feature = "metrics"), path = "absent/metrics.rs")]
pub(crate) mod metrics;
#[cfg_attr(not(feature = "secrets"), path = "absent/secrets.rs")]
mod secrets;
#[cfg(feature = "cache")]
#[cfg_attr(not(feature = "shared"), path = "absent/shared.rs")]
mod shared;
mod time;
#[cfg_attr(not(feature = "trace"), path = "absent/trace.rs")]
pub(crate) mod trace;
mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use serde::Serialize;

use crate::check::Readiness;
use crate::text::redacted;
use crate::{Admin, Check, Finding, LastRun, Setting, Severity};
use dependency::Dependency;
pub(crate) use time::millis;
pub(crate) use verdict::Verdict;

/// Version of the document. It changes if a field is removed, or changes its meaning or type.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    schema_version: u32,
    /// Milliseconds since 1970-01-01 UTC, as all times in the document.
    generated_at: u64,
    process_start: u64,
    pub(crate) service: String,
    pub(crate) version: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) uptime_seconds: u64,
    pub(crate) verdict: Verdict,
    pub(crate) not_ready: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) checks: Vec<Check>,
    /// `None` if no function for findings is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) findings: Option<Vec<Finding>>,
    pub(crate) dependencies: Vec<Dependency>,
    configuration: Vec<Setting>,
    #[serde(flatten)]
    pub(crate) metrics: Option<metrics::Part>,
    #[serde(flatten)]
    trace: Option<trace::Part>,
    #[serde(flatten)]
    log: Option<log::Part>,
    #[serde(flatten)]
    secrets: Option<secrets::Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<cache::Part>,
    /// `None` if the service lists no background work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jobs: Option<jobs::Part>,
    /// `None` if the previous run left nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_run: Option<LastRun>,
    /// `None` if there is no history.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<history::Part>,
}

impl State {
    /// Collects the document on a thread that may read files; `None` if that panicked, which is logged.
    pub(crate) async fn of(admin: Admin) -> Option<Self> {
        let readiness = admin.known_readiness().await;
        let collected = tokio::task::spawn_blocking(move || Self {
            last_run: last_run::collect(&admin),
            history: history::collect(&admin),
            ..Self::collect(&admin, readiness)
        });
        collected.await.ok()
    }

    /// Collects the document without the previous run and the history, which never change.
    /// It does not wait, but some parts read files: do not call it on a thread of a runtime.
    pub(crate) fn collect(admin: &Admin, (not_ready, checks): Readiness) -> Self {
        let not_ready = not_ready.map(|reason| redacted(&reason));
        let checks: Vec<_> = checks.into_iter().map(readable).collect();
        let findings = admin.find().map(collected);
        let secrets = secrets::collect(admin);
        let trace = trace::collect(admin);
        Self {
            schema_version: SCHEMA_VERSION,
            generated_at: millis(SystemTime::now()),
            process_start: millis(admin.started_at()),
            service: admin.service().to_owned(),
            version: admin.version().map(str::to_owned),
            commit: admin.commit().map(str::to_owned),
            uptime_seconds: admin.uptime().as_secs(),
            verdict: Verdict::new(not_ready.as_deref(), &checks, findings.as_deref()),
            dependencies: dependencies(&checks, trace.as_ref(), secrets.as_ref()),
            not_ready,
            checks,
            findings,
            configuration: configuration(admin),
            metrics: metrics::collect(),
            trace,
            log: log::collect(),
            secrets,
            cache: cache::collect(admin),
            jobs: jobs::collect(admin),
            last_run: None,
            history: None,
        }
    }
}

/// Returns the readiness checks, the collector of traces, and the sources of secrets.
fn dependencies(
    checks: &[Check],
    trace: Option<&trace::Part>,
    secrets: Option<&secrets::Part>,
) -> Vec<Dependency> {
    let mut all: Vec<_> = checks.iter().map(Dependency::checked).collect();
    all.extend(trace.and_then(trace::collector));
    all.extend(secrets.map(secrets::sources).unwrap_or_default());
    all
}

fn readable(mut check: Check) -> Check {
    check.reason = check.reason.map(|reason| redacted(&reason));
    check
}

/// Returns findings with secrets redacted. If their function panicked, that is a finding.
pub(crate) fn collected(found: std::thread::Result<Vec<Finding>>) -> Vec<Finding> {
    let Ok(mut findings) = found else {
        let title = "the function that returns the findings panicked";
        let since = millis(SystemTime::now());
        return vec![Finding::new(
            "findings_failed",
            Severity::Warning,
            title,
            since,
        )];
    };
    for finding in &mut findings {
        let texts = [
            &mut finding.title,
            &mut finding.seen,
            &mut finding.means,
            &mut finding.action,
        ];
        for text in texts.into_iter().chain(&mut finding.route) {
            *text = redacted(text);
        }
    }
    findings
}

fn configuration(admin: &Admin) -> Vec<Setting> {
    let settings = catch_unwind(AssertUnwindSafe(|| admin.settings()));
    let mut settings = settings.unwrap_or_default();
    for setting in &mut settings {
        setting.value = redacted(&setting.value);
    }
    settings
}
