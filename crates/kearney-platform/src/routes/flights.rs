use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ops_layer::cache::{Params as Bound, Value};

use super::answer::answer;
use crate::params::{Params, invalid};
use crate::platform::Platform;
use crate::problem::Problem;

/// Standard SQL with positional parameters, which engines other than DuckDB accept too.
const SUMMARY: &str = "\
SELECT count(*) AS flights,
       round(avg(delay), 2) AS mean_delay_minutes,
       round(percentile_cont(0.95) WITHIN GROUP (ORDER BY delay), 2) AS p95_delay_minutes,
       round(avg(CASE WHEN delay > 15 THEN 1.0 WHEN delay IS NOT NULL THEN 0.0 END), 4) AS delayed_share,
       round(avg(distance), 1) AS mean_distance_miles,
       count(DISTINCT destination) AS destinations,
       min(date) AS first_departure,
       max(date) AS last_departure
FROM flights
WHERE origin = $1 AND extract(MONTH FROM date) BETWEEN $2 AND $3";

/// Summarizes the flights from one airport, in all months or in one.
pub async fn summary(
    State(platform): State<Arc<Platform>>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let origin = origin(&mut params)?;
    let month = params.parse("month", "a whole number from 1 to 12", |month: &i64| {
        (1..=12).contains(month)
    })?;
    params.finish("origin and month")?;
    let (first, last) = (month.unwrap_or(1), month.unwrap_or(12));
    let bound = Bound::positional([Value::from(origin.clone()), first.into(), last.into()]);
    let head = serde_json::json!({ "origin": origin, "month": month });
    answer(&platform, &headers, SUMMARY, bound, |rows| {
        let mut summary = head;
        if let (Some(summary), Some(row)) = (
            summary.as_object_mut(),
            rows.into_iter()
                .next()
                .and_then(|row| row.as_object().cloned()),
        ) {
            summary.extend(row);
        }
        summary
    })
    .await
}

fn origin(params: &mut Params) -> Result<String, Problem> {
    let accepts = "an airport code of 3 letters or digits, such as SFO";
    let Some(text) = params.take("origin")? else {
        return Err(Problem::parameter("origin", "missing parameter", accepts));
    };
    let origin = text.to_ascii_uppercase();
    if origin.len() == 3 && origin.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(origin)
    } else {
        Err(invalid("origin", &text, accepts))
    }
}
