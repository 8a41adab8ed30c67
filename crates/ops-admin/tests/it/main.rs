//! The admin listener, queried as browsers and scripts do.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
mod actions;
mod guard;
mod history;
mod jobs;
mod last_run;
#[cfg(feature = "log")]
mod level;
#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
mod openapi;
mod page;
#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
mod reads;
mod state;
mod stream;

use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, request};
use http_body_util::BodyExt as _;
use ops_admin::{Admin, LastRun};
use tower::ServiceExt as _;

/// Response with its complete body.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

fn admin() -> Router {
    #[cfg(feature = "log")]
    start();
    Admin::new("it").router()
}

async fn send(router: &Router, request: request::Builder, body: &str) -> Answer {
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let Ok(response) = router.clone().oneshot(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

async fn get(router: &Router, path: &str) -> Answer {
    send(
        router,
        Request::get(path).header("host", "127.0.0.1:8001"),
        "",
    )
    .await
}

#[cfg(any(feature = "log", feature = "trace", feature = "cache"))]
async fn post(router: &Router, path: &str, body: &str) -> Answer {
    let request = Request::post(path)
        .header("host", "localhost")
        .header("x-ops-admin", "1")
        .header("content-type", "application/json");
    send(router, request, body).await
}

/// Starts the log for lines of the crates; the first test that calls it starts it.
#[cfg(feature = "log")]
fn start() {
    static STARTED: std::sync::Once = std::sync::Once::new();
    STARTED.call_once(|| {
        let config = ops_log::Config::new()
            .service_name("it")
            .stdout(false)
            .recent_lines(2000);
        std::mem::forget(ops_log::init(config).unwrap());
    });
}

/// Creates a page with everything that needs no file.
#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
fn full() -> Router {
    use ops_admin::{Check, Finding, Job, JobState, Phase, Setting, Severity};
    let degraded = Check {
        name: "warehouse".to_owned(),
        state: "degraded",
        reason: Some("slow".to_owned()),
    };
    let page = Admin::new("it")
        .build("1.2.3", "abcdef0")
        .checks(move || (None, vec![degraded.clone()]))
        .findings(|| {
            vec![Finding::new("slow", Severity::Warning, "it is slow", 1).runbook("docs/slow.md")]
        })
        .configuration(|| vec![Setting::new("port", "8000", "default")])
        .last_run(
            LastRun::new("aborted", "it was terminated by SIGABRT")
                .time(SystemTime::UNIX_EPOCH, SystemTime::now())
                .kept("/run/it.box.1")
                .record(
                    "line",
                    SystemTime::now(),
                    r#"{"level":"info","event":"started"}"#,
                )
                .record("numbers", SystemTime::now(), "{}"),
        )
        .history(history::some())
        .jobs("Imports", || {
            let job = Job::new("1", "import", JobState::Running, 1).started(2);
            vec![
                job.phase(Phase::ended("fetch", 3, true))
                    .phase(Phase::running("load")),
            ]
        });
    #[cfg(feature = "profile")]
    let page = page.profile(true);
    #[cfg(feature = "secrets")]
    let page = {
        let config = ops_secrets::Config::default().environment([("ONE", "value-of-one")]);
        page.secrets(ops_secrets::Secrets::new(config).unwrap())
    };
    page.router()
}

/// Starts log, traces and metrics, and makes a failed request with a query and a line; returns the id of its trace.
#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
async fn traffic() -> String {
    static TRACER: std::sync::OnceLock<ops_trace::Tracer> = std::sync::OnceLock::new();
    start();
    let tracer = TRACER.get_or_init(|| {
        ops_metrics::init(ops_metrics::Config::new()).unwrap();
        ops_log::set_trace_id_source(|| {
            let ids = ops_trace::current_span_ids()?;
            Some(ops_log::TraceIds {
                trace_id: ids.trace_id,
                span_id: ids.span_id,
            })
        });
        ops_trace::init(ops_trace::Config::new("it").endpoint("http://127.0.0.1:9")).unwrap()
    });
    ops_metrics::catalog::http_requests_total("/it/{id}", http::Method::GET, 500).inc();
    loop {
        let id = failed_request();
        let is_in = |traces: Vec<ops_trace::RecentTrace>| {
            let mut ids = traces.into_iter().map(|trace| trace.trace_id);
            ids.any(|known| known == id)
        };
        while !is_in(ops_trace::recent().errors) {
            tracer.flush();
            tokio::task::yield_now().await;
        }
        // another test may have set a ratio: of an unsampled request, only the failure is kept
        if is_in(ops_trace::recent().recent) {
            return id;
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
fn failed_request() -> String {
    let span = ops_trace::span!(kind: ops_trace::SpanKind::Server, "GET /it/{id}");
    span.in_scope(|span| {
        span.set_attribute("http.route", "/it/{id}");
        span.set_attribute("http.request.method", "GET");
        span.set_attribute("http.response.status_code", 500);
        span.set_error("500");
        let query = ops_trace::span!("SELECT");
        query.set_attribute("db.query.text", "SELECT 1 /* <script> */");
        drop(query);
        ops_log::warn!("line_of_the_trace", hostile = "<script>alert(1)</script>");
        ops_trace::get_current_trace_id()
    })
}
