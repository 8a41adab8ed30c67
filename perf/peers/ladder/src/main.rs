//! Serves one handler bare, with parts of the layer, or with telemetry of other projects.
//!
//! `serve ROW COLLECTOR` serves one row on a free port until its standard input ends. The address goes to standard
//! error, log lines to standard output.

mod ours;
mod peers;

use std::error::Error;
use std::io;

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["serve", row, collector] = arguments[..] else {
        return Err("usage: serve ROW COLLECTOR".into());
    };
    // a single thread serves, so that all rows have the same number of context switches
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let app = app(row, collector)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let input = || io::copy(&mut io::stdin().lock(), &mut io::sink());
        tokio::task::spawn_blocking(input).await??;
        // spans that still wait are discarded
        std::process::exit(0)
    })
}

/// Returns the router of a row: its name, and after a hyphen the percentage of sampled requests.
fn app(row: &str, collector: &str) -> Result<Router> {
    let (stack, sampled) = match row.rsplit_once('-') {
        Some((stack, "off")) => (stack, Some(0.0)),
        Some((stack, percent)) => (
            stack,
            percent.parse().ok().map(|percent: f64| percent / 100.0),
        ),
        None => (row, None),
    };
    let bare = Router::new().route("/users/{id}", get(user));
    match (stack, sampled) {
        ("assembled", Some(ratio)) => peers::assembled(bare, ratio, collector),
        ("foundations", Some(ratio)) => peers::foundations(ratio),
        ("tower", Some(ratio)) => peers::tower(bare, ratio, collector),
        ("logfire", Some(_)) => peers::logfire(bare, collector),
        _ => ours::observed(bare, row, collector),
    }
}

async fn user(Path(id): Path<u64>) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "id": id, "name": "Ada" }))
}
