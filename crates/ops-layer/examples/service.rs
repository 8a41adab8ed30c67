//! A service with all of its operations, in two lines of its own: `cargo run -p ops-layer --example service`.
//!
//! Each request has an access line, a span and its metrics, all three with the same route.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use ops_layer::StopSignal;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ops = ops_layer::init(ops_layer::Config::new("example-service"))?;
    let app = Router::new()
        .route("/hello/{name}", get(hello))
        .route("/metrics", get(metrics))
        .layer(ops.http());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    ops_layer::log::info!("listening", address = %listener.local_addr()?);
    let stop = StopSignal::listen()?;
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async move { stop.wait().await })
    .await?;
    ops.shutdown(Duration::from_secs(25)).await;
    Ok(())
}

async fn hello(axum::extract::Path(name): axum::extract::Path<String>) -> String {
    ops_layer::log::bind_context!(guest = name.as_str());
    let greeted = ops_layer::spawn(async move {
        // spawned through ops_layer: as JSON, this line carries request id, trace id and guest too
        ops_layer::log::info!("greeted");
        format!("hello {name}\n")
    });
    greeted.await.unwrap_or_default()
}

async fn metrics(request: axum::extract::Request) -> axum::response::Response {
    let (parts, _) = request.into_parts();
    ops_layer::metrics::serve(&parts)
        .await
        .map(axum::body::Body::from)
}
