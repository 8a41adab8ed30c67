//! Answers of the warehouse over HTTP.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use ops_layer::cache::Params;
use ops_layer::cache::http::Validator;
use serde_json::Value;

use crate::error::chain;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::warehouse::rows_of;

/// Asks the warehouse through its cache and answers with what `shape` makes of the rows; `x-cache` says how, and the
/// tag stays until the data changes. For a client that has it already nothing is shaped.
pub async fn answer(
    platform: &Platform,
    request: &HeaderMap,
    sql: &'static str,
    bound: Params,
    shape: impl FnOnce(Vec<Value>) -> Value,
) -> Result<Response, Problem> {
    let Some(warehouse) = platform.warehouse() else {
        let why = platform.not_ready().unwrap_or_default();
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let asked = warehouse.query(sql, bound).keep().await;
    let result = asked.map_err(|error| failed(&error))?;
    let validator = Validator::of(&result, "json/1");
    let mut response = if validator.is_current(request) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let rows = rows_of(result.batches()).map_err(|error| failed(&error))?;
        Json(shape(rows)).into_response()
    };
    response.headers_mut().extend(validator.headers().clone());
    Ok(response)
}

fn failed(error: &dyn std::error::Error) -> Problem {
    ops_layer::log::error!("query_failed", error = chain(error));
    let detail = "the warehouse could not answer";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}
