//! Admin page, on a separate thread: it responds while every worker of the service is busy or blocked.

use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use http::{HeaderValue, header};
use ops_admin::{Admin, Check};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::acceptor::{Acceptor, Spare};
use super::body;
use super::connections::{Connections, Phase};
use super::effective_settings;
use super::failure::Failure;
use super::listen::{At, Socket};
use super::readiness::Readiness;
use super::settings::Settings;
use super::token;
use crate::{Error, Finding, Ops, Severity, thread};

/// Maximum number of open connections of the admin page.
pub(super) const MAX_CONNECTIONS: usize = 32;
/// Number of file descriptors reserved for connections of the admin page.
pub(super) const SPARE_DESCRIPTORS: usize = 8;
/// Time for which an idle thread is kept: practically forever.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Time for the last responses of the page when the process ends.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

type Jobs = Box<dyn Fn() -> Vec<ops_admin::Job> + Send + Sync>;

/// Sections of the service on the admin page.
#[derive(Default)]
pub(super) struct Sections {
    /// Title and rows of background work.
    pub(super) jobs: Option<(String, Jobs)>,
}

/// Running admin page; it ends when this value is dropped.
#[derive(Debug)]
pub(super) struct AdminThread {
    connections: Connections,
    thread: Option<std::thread::JoinHandle<()>>,
    ended: oneshot::Receiver<()>,
}

impl AdminThread {
    /// Starts the page on a socket. `api` is the address of the API; a job has none.
    pub(super) fn start(
        socket: Socket,
        api: Option<At>,
        ops: &Ops,
        settings: &Settings,
        readiness: Readiness,
        sections: Sections,
    ) -> Result<Self, Error> {
        let failed = |failure| Error::new("admin", failure);
        let Socket { listener, at } = socket;
        let token = token::from_env()?;
        if token.is_none() && !at.address.ip().to_canonical().is_loopback() {
            return Err(failed(Failure::TokenMissing(at.address)));
        }
        let mut page = page(ops, readiness);
        let effective = effective_settings::settings(ops, settings, api, at);
        page = page.configuration(move || effective.clone());
        if let Some(token) = token {
            page = page.token(token);
        }
        #[cfg(feature = "profile")]
        {
            page = page.profile(settings.profile()?);
        }
        if let Some((title, jobs)) = sections.jobs {
            page = page.jobs(title, jobs);
        }
        let connections = Connections::new();
        let acceptor = Acceptor {
            name: "admin",
            app: with_time_for_bodies(page.router(), settings.body),
            limits: settings.limits,
            max_connections: MAX_CONNECTIONS,
            spare: Spare::new(SPARE_DESCRIPTORS),
            connections: connections.clone(),
        };
        let (end, ended) = oneshot::channel();
        let thread = thread::start("ops-admin", runtime, move |runtime| {
            runtime.block_on(answer(acceptor, listener));
            // a profile in progress is not waited for
            runtime.shutdown_timeout(LAST_ANSWERS);
            drop(end);
        });
        let thread = thread.map_err(|cause| failed(Failure::Thread(cause)))?;
        Ok(Self {
            connections,
            thread: Some(thread),
            ended,
        })
    }

    /// Ends the page after its last responses, without blocking a thread.
    pub(super) async fn end(mut self) {
        self.connections.set_phase(Phase::Closing);
        // carries no value: the sender is dropped
        let _ = (&mut self.ended).await;
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        self.connections.set_phase(Phase::Closing);
        if let Some(thread) = self.thread.take() {
            // an error means that it panicked, which is logged
            let _ = thread.join();
        }
    }
}

/// Responds with 408 if a body does not arrive in time: otherwise it would occupy one of the few connections.
fn with_time_for_bodies(page: Router, allowed: Duration) -> Router {
    page.layer(middleware::from_fn(
        move |request: Request, next: Next| async move {
            let mut response = body::in_time(allowed, request, next).await;
            // as on every response of the page
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            let nosniff = HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            response
        },
    ))
}

/// Creates the runtime of the page. It reads files on other threads, which are
/// kept, because later none may be available. The first one is started now.
fn runtime() -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().thread_keep_alive(FOREVER);
    // the name of tokio is that of the service's workers
    builder.thread_name("ops-admin-work");
    // one HTTP/2 connection may send many requests at once
    let runtime = builder.max_blocking_threads(MAX_CONNECTIONS).build()?;
    // a failure to start it is logged
    let first = AssertUnwindSafe(|| runtime.spawn_blocking(|| ()));
    let _ = catch_unwind(first);
    Ok(runtime)
}

async fn answer(acceptor: Acceptor, listener: TcpListener) {
    let connections = acceptor.connections.clone();
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => acceptor.run(listener).await,
        Err(error) => tracing::error!(target: "ops_layer", error = %error, "admin_page_failed"),
    }
    // clients that are still reading a response are then cut off with the process
    let _ = tokio::time::timeout(LAST_ANSWERS, connections.all_left()).await;
}

fn page(ops: &Ops, readiness: Readiness) -> Admin {
    let mut page = Admin::new(ops.service());
    if let Some([version, commit]) = ops.build() {
        page = page.build(version, commit);
    }
    if let Some(last) = ops.last_run() {
        page = page.last_run(last);
    }
    if let Some(history) = ops.history_shown() {
        page = page.history(history);
    }
    #[cfg(feature = "secrets")]
    let page = page.secrets(ops.secrets().clone());
    #[cfg(feature = "cache")]
    let page = {
        let limits = &ops.cache_settings().query_cache;
        let bytes = |mib: u64| mib.saturating_mul(1 << 20);
        page.cache(ops.cache().clone())
            .cache_limits(bytes(limits.max_size_mb), bytes(limits.memory_mb))
    };
    let (asked, found) = (readiness.clone(), ops.clone());
    let page = page.findings(move || found.diagnose().into_iter().map(shown).collect());
    page.readiness(move || {
        let asked = asked.clone();
        async move { asked.not_ready().await }
    })
    .checks(move || checks(&readiness))
}

/// Converts a finding for the page.
fn shown(finding: Finding) -> ops_admin::Finding {
    let severity = match finding.severity {
        Severity::Info => ops_admin::Severity::Info,
        Severity::Warning => ops_admin::Severity::Warning,
        Severity::Critical => ops_admin::Severity::Critical,
    };
    let since = finding.since.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    let title = finding.id.replace('_', " ");
    let mut shown = ops_admin::Finding::new(finding.id, severity, title, since)
        .seen(finding.seen)
        .means(finding.means)
        .action(finding.action);
    if let Some(page) = finding.runbook {
        shown = shown.runbook(format!("docs/runbooks/{page}.md"));
    }
    if let Some(route) = finding.route {
        shown = shown.route(route);
    }
    if let Some(trace_id) = finding.trace_id {
        shown = shown.trace_id(trace_id);
    }
    if let Some(cause) = finding.explained_by {
        shown = shown.explained_by(cause);
    }
    shown
}

/// Returns the state of each check as known, without waiting for any.
fn checks(readiness: &Readiness) -> (Option<String>, Vec<Check>) {
    let latest = readiness.latest();
    let outdated = latest.as_ref().and_then(|report| report.outdated());
    let failed = match &latest {
        _ if readiness.is_draining() => Some("shutting down".to_owned()),
        Some(report) if outdated.is_none() => report.failed(),
        _ => None,
    };
    if latest.is_none() {
        let unanswered = |name: &str| Check {
            name: name.to_owned(),
            state: "unknown",
            reason: Some("no result yet".to_owned()),
        };
        return (failed, readiness.names().map(unanswered).collect());
    }
    let checks = latest.iter().flat_map(|report: &Arc<_>| &report.checks);
    let checks = checks.map(|(name, health)| {
        let (name, state) = (name.clone(), health.state());
        let reason = health.reason().map(str::to_owned);
        match outdated {
            None => Check {
                name,
                state,
                reason,
            },
            Some(age) => {
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                let reason = format!("last checked {} s ago: {state}{reason}", age.as_secs());
                Check {
                    name,
                    state: "unknown",
                    reason: Some(reason),
                }
            }
        }
    });
    (failed, checks.collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Health;

    #[tokio::test]
    async fn outdated_check_results_are_not_shown_as_current() {
        let all = || {
            let failed = Health::Failed("refused".to_owned());
            [("db", Health::Ready), ("cache", failed)]
                .map(|(name, health)| (name.to_owned(), health))
        };
        let of = |seconds| {
            let ago = Duration::from_secs(seconds);
            let (failed, found) = checks(&Readiness::of_before(ago, all().to_vec()));
            let found = found.into_iter();
            let found = found.map(|check| (check.state, check.reason.unwrap_or_default()));
            (failed, found.collect::<Vec<_>>())
        };
        let (failed, now) = of(5);
        assert_eq!(failed.unwrap(), "cache: refused");
        assert_eq!(
            now,
            [("ready", String::new()), ("failed", "refused".to_owned())]
        );
        let (failed, then) = of(7200);
        assert_eq!(failed, None, "nobody knows");
        let said = ["ready", "failed: refused"];
        let said = said.map(|said| ("unknown", format!("last checked 7200 s ago: {said}")));
        assert_eq!(then, said);
    }
}
