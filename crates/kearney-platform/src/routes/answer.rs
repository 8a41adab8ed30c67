//! Query results over HTTP.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use ops_layer::cache::http::Validator;
use ops_layer::cache::{Error as CacheError, ErrorKind, Params};
use serde_json::Value;

use crate::error::chain;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::warehouse::rows_of;

/// `Retry-After` in seconds if the engine is unavailable.
const RETRY_AFTER: u64 = 5;

/// Queries the warehouse, or the server that replaces it, through the cache, and responds with the rows converted by
/// `shape`. `x-cache` reports hit or miss; the `ETag` changes only with the data. If the client has it already, `shape`
/// is not called.
pub async fn answer(
    platform: &Platform,
    request: &HeaderMap,
    sql: &'static str,
    bound: Params,
    shape: impl FnOnce(Vec<Value>) -> Value,
) -> Result<Response, Problem> {
    let asked = match (platform.cluster(), platform.warehouse()) {
        (Some(cluster), _) => cluster.query(sql, bound).await,
        (None, Some(warehouse)) => warehouse.query(sql, bound).keep().await,
        (None, None) => {
            let why = platform.not_ready().unwrap_or_default();
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
        }
    };
    let result = asked.map_err(|error| unanswered(&error))?;
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

fn unanswered(error: &CacheError) -> Problem {
    if error.kind() != ErrorKind::Unavailable {
        return failed(error);
    }
    ops_layer::log::error!("engine_unavailable", error = chain(error));
    let detail = format!("the query cannot be answered at the moment: {error}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER)
}

fn failed(error: &dyn std::error::Error) -> Problem {
    ops_layer::log::error!("query_failed", error = chain(error));
    let detail = "the query failed";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}
