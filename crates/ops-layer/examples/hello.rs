//! A whole service: `cargo run -p ops-layer --example hello`, then `curl -i localhost:8000/hello/world`.
use axum::{Router, extract::Path, routing::get};

async fn hello(Path(name): Path<String>) -> String {
    ops_layer::log::info!("greeted", guest = name.as_str());
    format!("hello {name}\n")
}
#[tokio::main]
async fn main() -> Result<(), ops_layer::Error> {
    ops_layer::serve("hello", Router::new().route("/hello/{name}", get(hello))).await
}
