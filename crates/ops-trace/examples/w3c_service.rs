//! The service that the W3C trace-context test suite talks to: `POST /test` with a list of `{"url": .., "arguments": ..}`
//! calls each URL with its arguments and the current trace context.
//!
//! ```sh
//! cargo run -p ops-trace --example w3c_service --features axum    # listens on 127.0.0.1:5000
//! python3 test.py http://127.0.0.1:5000/test                      # the suite: github.com/w3c/trace-context
//! ```

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use ops_trace::axum::{instrument_axum_with, peer};
use ops_trace::http::ServerSpans;
use ops_trace::{Config, Handle, Tracer, span};

/// Returns the service, with spans of this handle.
pub(crate) fn app(handle: Handle) -> Router {
    let spans = ServerSpans::new().peer(peer).handle(handle.clone());
    let calls = move |body: Bytes| call_all(handle, body);
    instrument_axum_with(Router::new().route("/test", post(calls)), spans)
}

async fn call_all(handle: Handle, body: Bytes) -> StatusCode {
    let Ok(serde_json::Value::Array(calls)) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    for call in calls {
        let url = call["url"].as_str().unwrap_or_default().to_owned();
        let arguments = call["arguments"].to_string();
        // each call has its own span, so that each has its own parent id
        let span = span!(tracer: handle, "call", url.full = url.as_str());
        let call = async { ops_trace::spawn_blocking(move || call_one(&url, arguments)).await };
        match span.instrument(call).await {
            Ok(Ok(())) => {}
            _ => return StatusCode::BAD_GATEWAY,
        }
    }
    StatusCode::OK
}

fn call_one(url: &str, arguments: String) -> Result<(), ureq::Error> {
    let mut headers = HeaderMap::new();
    ops_trace::inject(&mut headers);
    let mut request = ureq::post(url).header("content-type", "application/json");
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    request.send(arguments).map(drop)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tracer = Tracer::new(Config::new("w3c").environment([("OTEL_TRACES_EXPORTER", "none")]))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
    let app = app(tracer.handle()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}
