//! Metrics of an axum service: counted by the middleware and by hand, scraped at `/metrics`.
//!
//! ```text
//! cargo run -p ops-metrics --features http --example overview
//! curl http://127.0.0.1:<the port that it prints>/metrics
//! ```

use std::io::Write as _;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use http::Method;
use ops_metrics::catalog::{duckdb_query_seconds, http_request_latency, http_requests_total};
use tokio::net::TcpListener;

ops_metrics::labels! {
    /// A phase of a run.
    enum Phase { Analyze = "analyze", Publish = "publish" }
}

ops_metrics::define! {
    /// Metrics of this service besides the built-in ones.
    catalog MINE;

    /// Orchestrator phase duration in seconds
    histogram orchestrator_phase_seconds { phase: Phase } buckets [0.1, 1.0, 10.0, 60.0]
    /// Total registered models
    gauge registry_models_total {}
    /// Total registered datasets
    gauge registry_datasets_total {}
}

/// Installs the metrics once for the process; values counted before are kept.
pub(crate) fn install() -> Result<(), ops_metrics::Error> {
    let config = ops_metrics::Config::new().catalog(MINE).build_info(
        env!("CARGO_PKG_VERSION"),
        "unknown",
        "unknown",
    );
    ops_metrics::init(config)
}

/// Returns the service: each response is counted under the template of its route.
pub(crate) fn app() -> Router {
    Router::new()
        .route("/", get(|| async { "see /metrics\n" }))
        .route("/metrics", get(metrics))
        .layer(ops_http::ObserveLayer::new((
            ops_metrics::http::RedMetrics::new(),
        )))
        .layer(from_fn(tell_route))
}

/// Passes the template that axum matched to the observers, as the feature `axum` of ops-http does.
async fn tell_route(mut request: Request, next: Next) -> Response {
    if let Some(matched) = request.extensions().get::<MatchedPath>() {
        let route = ops_http::Route::new(matched.as_str());
        request.extensions_mut().insert(route);
    }
    next.run(request).await
}

async fn metrics(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    ops_metrics::serve(&parts).await.map(axum::body::Body::new)
}

/// Records the usage of the overview, as often as its output shows.
pub(crate) fn record() {
    http_requests_total("/api/users", Method::GET, 200).add(1234);
    let latency = http_request_latency("/api/users", Method::GET);
    for (times, seconds) in [(950, 0.05), (250, 0.3), (34, 22.7 / 34.0)] {
        (0..times).for_each(|_| latency.observe(seconds));
    }
    duckdb_query_seconds("SELECT").observe(0.045);
    orchestrator_phase_seconds(Phase::Analyze).observe(12.5);
    registry_models_total().set(3.0);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    install()?;
    record();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    writeln!(
        std::io::stdout(),
        "http://{address}/metrics; press Ctrl-C to stop"
    )?;
    axum::serve(listener, app()).await?;
    Ok(())
}
