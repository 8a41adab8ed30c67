//! Telemetry of other projects on the same handler, each set up according to its documentation.

use std::net::UdpSocket;
use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use axum_otel_metrics::HttpMetricsLayerBuilder;
use axum_prometheus::PrometheusMetricLayer;
use axum_tracing_opentelemetry::middleware::{OtelAxumLayer, OtelInResponseLayer};
use foundations::telemetry::metrics::{Counter, metrics};
use foundations::telemetry::settings::{
    ActiveSamplingSettings, JaegerThriftUdpOutputSettings, LogFormat, SamplingStrategy,
    TelemetrySettings, TracesOutput,
};
use foundations::telemetry::{self, TelemetryConfig, log, tracing as spans};
use http::{Method, Uri};
use logfire::config::AdvancedOptions;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_instrumentation_tower::http::server;
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

use crate::{Result, user};

/// tower-http, tracing-subscriber's JSON, tracing-opentelemetry with the batch exporter over HTTP, and axum-prometheus:
/// a span, a line, a counter, a histogram and a gauge. With a ratio of 0 without tracing-opentelemetry.
pub(crate) fn assembled(app: Router, ratio: f64, collector: &str) -> Result<Router> {
    let exported = match ratio {
        0.0 => None,
        ratio => {
            let tracer = provider(ratio, collector)?.tracer("ladder");
            Some(tracing_opentelemetry::layer().with_tracer(tracer))
        }
    };
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(tracing_subscriber::fmt::layer().json())
        .with(exported)
        .init();
    let requests = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    let (counted, _) = PrometheusMetricLayer::pair();
    Ok(app.layer(counted).layer(requests))
}

/// opentelemetry-instrumentation-tower: a span and four metrics, no line.
pub(crate) fn tower(app: Router, ratio: f64, collector: &str) -> Result<Router> {
    provider(ratio, collector)?;
    let exporter = MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{collector}/v1/metrics"))
        .build()?;
    let meters = SdkMeterProvider::builder();
    global::set_meter_provider(meters.with_periodic_exporter(exporter).build());
    Ok(app.layer(server::Layer::new()))
}

/// Returns the OpenTelemetry SDK with its defaults, except for the sampler and the address of the exporter.
fn provider(ratio: f64, collector: &str) -> Result<SdkTracerProvider> {
    cryptography()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{collector}/v1/traces"))
        .build()?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_batch_exporter(exporter)
        .build();
    global::set_tracer_provider(provider.clone());
    Ok(provider)
}

/// logfire with the layers of its axum example: a span and the HTTP metrics; no line, as its console is off by default.
/// It samples every request.
pub(crate) fn logfire(app: Router, collector: &str) -> Result<Router> {
    cryptography()?;
    let collector = AdvancedOptions::default().with_base_url(collector);
    let logfire = logfire::configure()
        .with_service_name("ladder")
        .with_token("ladder")
        .with_advanced_options(collector)
        .finish()?;
    std::mem::forget(logfire);
    Ok(app
        .layer(OtelAxumLayer::default())
        .layer(OtelInResponseLayer)
        .layer(HttpMetricsLayerBuilder::new().build()))
}

/// Chooses the cryptography of reqwest, which requires one although nothing here is encrypted.
fn cryptography() -> Result<()> {
    let chosen = rustls::crypto::ring::default_provider().install_default();
    Ok(chosen.map_err(|_| "cryptography is chosen already")?)
}

#[metrics]
mod http_server {
    /// Number of HTTP requests.
    pub fn requests_total(endpoint_name: &Arc<String>) -> Counter;
}

static ENDPOINT: LazyLock<Arc<String>> = LazyLock::new(|| Arc::new("users".to_owned()));

/// foundations, used in the handler as in its HTTP server example: a log, a span with a tag, a line and a counter for
/// each request. Lines are JSON. Its exporter that needs no protobuf compiler sends each span as a datagram to a Jaeger
/// agent; the agent's socket is here and is never read, the cheapest possible case. With a ratio of 0 its tracing is
/// off.
pub(crate) fn foundations(ratio: f64) -> Result<Router> {
    let agent = UdpSocket::bind("127.0.0.1:0")?;
    let mut settings = TelemetrySettings::default();
    settings.logging.format = LogFormat::Json;
    settings.tracing.enabled = ratio > 0.0;
    settings.tracing.output = TracesOutput::JaegerThriftUdp(JaegerThriftUdpOutputSettings {
        server_addr: agent.local_addr()?,
        ..Default::default()
    });
    settings.tracing.sampling_strategy = SamplingStrategy::Active(ActiveSamplingSettings {
        sampling_ratio: ratio,
        ..Default::default()
    });
    std::mem::forget(agent);
    let driver = telemetry::init(TelemetryConfig {
        service_info: &foundations::service_info!(),
        settings: &settings,
    })?;
    tokio::spawn(driver);
    Ok(Router::new().route("/users/{id}", get(observed)))
}

async fn observed(method: Method, uri: Uri, id: Path<u64>) -> Json<serde_json::Value> {
    let context = spans::span("respond to request").into_context();
    let answer = async move {
        log::add_fields! { "request_uri" => uri.to_string(), "method" => method.to_string() }
        spans::add_span_tags! { "request_uri" => uri.to_string() }
        http_server::requests_total(&ENDPOINT).inc();
        let answer = user(id).await;
        log::info!("sending response to the client"; "status_code" => 200);
        answer
    };
    context.with_forked_log().apply(answer).await
}
