//! Three services, one trace: `three-services web`, `three-services prices` and `three-services worker`.
//!
//! ```text
//! GET /orders/{item} → web (axum) ─ tonic ───→ prices (tonic)
//!                                 └ reqwest ─→ worker (axum, a channel, sqlx with SQLite)
//! ```
//!
//! On one machine: `PORT=8002 three-services prices`, `PORT=8003 three-services worker`, and with
//! `PRICES_URL=http://127.0.0.1:8002` and `WORKER_URL=http://127.0.0.1:8003` `PORT=8000 three-services web`.
//!
//! `tests/one_trace.rs` starts them, sends one request, and checks the data at a collector.

mod prices;
mod web;
mod worker;

use std::error::Error;

use ops_layer::Config;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).unwrap_or_default();
    // hosts that receive the trace context; it is not sent to others
    let config = Config::new(name.as_str()).propagate_to("127.0.0.1");
    match name.as_str() {
        "web" => web::run(ops_layer::init(config)?).await,
        "prices" => prices::run(ops_layer::init(config)?).await,
        "worker" => worker::run(ops_layer::init(config)?).await,
        _ => Err("the name of a service is missing: web, prices or worker".into()),
    }
}
