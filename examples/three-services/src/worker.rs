//! Turns requests into messages on a channel, which carry their context; the worker at its other end queries SQLite.
//! sqlx logs events and creates no spans: `query_span` creates that of the query.

use std::error::Error;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use ops_layer::trace::{SpanKind, query_span, span};
use ops_layer::{Carried, Ops, with_context};
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::sync::{mpsc, oneshot};

const QUERY: &str = "SELECT count FROM stock WHERE item = ?";

struct Job {
    item: String,
    reply: oneshot::Sender<Option<i64>>,
}

type Jobs = mpsc::Sender<Carried<Job>>;

pub async fn run(ops: Ops) -> Result<(), Box<dyn Error>> {
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect("sqlite::memory:")
        .await?;
    sqlx::query("CREATE TABLE stock (item TEXT PRIMARY KEY, count INTEGER NOT NULL)")
        .execute(&pool)
        .await?;
    sqlx::query("INSERT INTO stock VALUES ('tea', 12)")
        .execute(&pool)
        .await?;
    let (jobs, received) = mpsc::channel(64);
    tokio::spawn(work(received, pool));
    let router = Router::new()
        .route("/stock/{item}", get(stock))
        .with_state(jobs);
    Ok(ops.serve(router).await?)
}

async fn stock(
    State(jobs): State<Jobs>,
    Path(item): Path<String>,
) -> Result<Json<i64>, StatusCode> {
    let (reply, answer) = oneshot::channel();
    let job = Carried::new(Job { item, reply });
    jobs.send(job)
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let count = answer
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    count.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn work(mut jobs: mpsc::Receiver<Carried<Job>>, pool: SqlitePool) {
    while let Some(job) = jobs.recv().await {
        job.in_scope(|job| with_context(look_up(job, pool.clone())))
            .await;
    }
}

async fn look_up(job: Job, pool: SqlitePool) {
    let span = span!("look_up", item = job.item.as_str());
    let Job { item, reply } = job;
    let answer = span.instrument(async move {
        let asked = sqlx::query_scalar(QUERY).bind(item);
        let query = query_span("sqlite", QUERY, SpanKind::Internal).start();
        let count = query.instrument(asked.fetch_optional(&pool)).await;
        ops_layer::log::info!("stock_looked_up");
        count.ok().flatten()
    });
    let answer = answer.await;
    // the requester may be gone
    let _ = reply.send(answer);
}
