//! A traced axum application: `cargo run -p ops-trace --example axum --features axum`, then
//! `curl -i http://127.0.0.1:3000/users/7` and look at `traceresponse`.

#![allow(clippy::print_stdout, reason = "an example")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use ops_trace::{Config, instrument_axum, span};

fn app() -> Router {
    instrument_axum(Router::new().route("/users/{id}", get(user)))
}

async fn user(Path(id): Path<u64>) -> String {
    let load = async move { format!("user {id} in trace {}\n", ops_trace::get_current_trace_id()) };
    span!("load_user", user.id = id).instrument(load).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tracer = ops_trace::init(Config::new("axum-example"))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!(
        "http://{}/users/7; press Enter to stop",
        listener.local_addr()?
    );
    // connect info provides the peers' addresses, by which trace context is trusted
    let service = app().into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(async {
            // a real application waits for a signal
            let enter = || std::io::stdin().read_line(&mut String::new());
            let _ = tokio::task::spawn_blocking(enter).await;
        })
        .await?;
    let stats = tracer.shutdown(Duration::from_secs(3)).await;
    println!("{stats:?}");
    Ok(())
}
