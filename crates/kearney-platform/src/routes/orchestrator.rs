use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use ops_layer::trace::current_span_ids;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::registry::{Authorized, object, received, run_blocking};
use crate::orchestrator::{Cancelled, Client, Job, PAGE_MAX, Record, Refused, Status};
use crate::params::Params;
use crate::platform::Platform;
use crate::problem::Problem;

/// Maximum bytes of a request for a run.
pub const REQUEST_BYTES: usize = 1024;
const PATH: &str = "/api/orchestrator/runs";
const PAGE: usize = 20;

/// A request for a run; an empty body means `load`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    job: Job,
    client: Option<Client>,
}

/// Queues a run; requires the API key.
pub async fn start_run(
    _: Authorized,
    State(platform): State<Arc<Platform>>,
    params: Params,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    params.finish("no parameters: the job is given in the body")?;
    let body = received(body, REQUEST_BYTES)?;
    let request = parse(&body)?;
    if let Some(why) = platform.not_ready() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
    }
    let record = Record::new(request.job, request.client);
    let (queued, asker) = (record.clone(), current_span_ids());
    let submitted = run_blocking("the run", move || platform.queue.submit(queued, asker)).await?;
    submitted.map_err(|refused| match refused {
        Refused::Full {
            waiting,
            retry_after,
        } => {
            let detail = format!("the queue is full: {waiting} runs are waiting");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(retry_after)
        }
        Refused::Closed => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the platform is shutting down",
        ),
    })?;
    let location = [(header::LOCATION, format!("{PATH}/{}", record.run_id))];
    Ok((StatusCode::ACCEPTED, location, Json(record)).into_response())
}

/// Returns a page of runs, newest first.
pub async fn runs(
    State(platform): State<Arc<Platform>>,
    mut params: Params,
) -> Result<Json<Value>, Problem> {
    let accepts = format!("a whole number from 1 to {PAGE_MAX}");
    let limit = params.parse("limit", &accepts, |limit: &usize| {
        (1..=PAGE_MAX).contains(limit)
    })?;
    let before = params.parse("before", "the run_id of a run", |_: &Uuid| true)?;
    let status = params.take("status")?;
    let status = status.as_deref().map(status_of).transpose()?;
    params.finish("limit, before and status")?;
    let wanted = |record: &Record| status.is_none_or(|status| record.status == status);
    let (page, has_more) = platform
        .queue
        .runs()
        .page(before, limit.unwrap_or(PAGE), wanted);
    let next = page.last().filter(|_| has_more).map(|last| {
        let limit = limit.map_or(String::new(), |limit| format!("&limit={limit}"));
        let status = status.map_or(String::new(), |status| {
            format!("&status={}", status.as_str())
        });
        format!("{PATH}?before={}{limit}{status}", last.run_id)
    });
    Ok(Json(json!({ "runs": page, "next": next })))
}

pub async fn run(
    State(platform): State<Arc<Platform>>,
    params: Params,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Record>, Problem> {
    params.none()?;
    let found = id.ok().and_then(|Path(id)| platform.queue.runs().get(id));
    found.map(Json).ok_or_else(unknown)
}

/// Cancels a run: 200 if it was queued, 202 if it is running and ends soon, 409 if it had ended or is the initial load.
pub async fn cancel_run(
    _: Authorized,
    State(platform): State<Arc<Platform>>,
    params: Params,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Response, Problem> {
    params.none()?;
    let Path(id) = id.map_err(|_| unknown())?;
    match run_blocking("the run", move || Ok(platform.queue.cancel(id))).await? {
        Cancelled::Ended(record) => Ok(Json(record).into_response()),
        Cancelled::Signaled(record) => Ok((StatusCode::ACCEPTED, Json(record)).into_response()),
        Cancelled::AlreadyEnded(record) => {
            let detail = format!("the run has already ended: {}", record.status.as_str());
            Err(Problem::new(StatusCode::CONFLICT, detail))
        }
        Cancelled::InitialLoad => {
            let detail = "the initial load cannot be cancelled: the platform needs it to start";
            Err(Problem::new(StatusCode::CONFLICT, detail))
        }
        Cancelled::Unknown => Err(unknown()),
    }
}

fn parse(body: &[u8]) -> Result<Request, Problem> {
    if body.is_empty() {
        return Ok(Request {
            job: Job::Load,
            client: None,
        });
    }
    let accepts = format!(
        r#"{{"job": "load", "delays" or "routes", "client": string (optional)}}; a client consists of {}"#,
        Client::ACCEPTS
    );
    object(body, &accepts)
}

fn status_of(text: &str) -> Result<Status, Problem> {
    let accepts = "queued, running, success, failed, cancelled, timeout or interrupted";
    Status::parse(text).ok_or_else(|| crate::params::invalid("status", text, accepts))
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such run")
}
