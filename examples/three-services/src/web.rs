//! Calls the other two services. Each call is a CLIENT span: tonic's by a tower layer of the ops layer, reqwest's by
//! `reqwest-tracing`, which creates `tracing` spans. That crate propagates the context only with the OpenTelemetry
//! versions that it supports; a middleware of five lines does so with any version.

use std::error::Error;

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::{Extensions, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use ops_layer::Ops;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use reqwest_tracing::{OtelName, TracingMiddleware};
use serde::Serialize;

use crate::prices::Prices;

#[derive(Clone)]
struct App {
    prices: Prices,
    client: ClientWithMiddleware,
    worker: String,
}

#[derive(Serialize)]
struct Order {
    item: String,
    cents: u64,
    stock: i64,
}

pub async fn run(ops: Ops) -> Result<(), Box<dyn Error>> {
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(TracingMiddleware::default())
        .with(PassContext)
        .build();
    let app = App {
        prices: Prices::new(&ops, &std::env::var("PRICES_URL")?)?,
        client,
        worker: std::env::var("WORKER_URL")?,
    };
    let router = Router::new()
        .route("/orders/{item}", get(order))
        .with_state(app);
    Ok(ops.serve(router).await?)
}

async fn order(
    State(app): State<App>,
    Path(item): Path<String>,
) -> Result<Json<Order>, StatusCode> {
    let cents = app.prices.of(&item).await.map_err(|status| {
        ops_layer::log::error!("no_price", error = status.message());
        StatusCode::BAD_GATEWAY
    })?;
    let url = format!("{}/stock/{item}", app.worker);
    let name = OtelName("GET /stock/{item}".into());
    let stock = app.client.get(url).with_extension(name).send().await;
    let stock = stock.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let stock = stock.json().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    ops_layer::log::info!("order_looked_up", item = item.as_str());
    Ok(Json(Order { item, cents, stock }))
}

/// Adds the context of the `reqwest-tracing` span to requests for hosts that may receive it.
struct PassContext;

#[async_trait]
impl Middleware for PassContext {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        ops_layer::trace::inject_to(&host, request.headers_mut());
        next.run(request, extensions).await
    }
}
