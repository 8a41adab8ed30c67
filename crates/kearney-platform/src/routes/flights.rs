use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ops_layer::cache::params;

use super::answer::answer;
use crate::params::{Params, refused};
use crate::platform::Platform;
use crate::problem::Problem;

const SUMMARY: &str = "\
SELECT count(*) AS flights,
       round(avg(delay), 2) AS mean_delay_minutes,
       quantile_cont(delay, 0.95) AS p95_delay_minutes,
       round(avg(CASE WHEN delay > 15 THEN 1.0 ELSE 0.0 END), 4) AS delayed_share,
       round(avg(distance), 1) AS mean_distance_miles,
       count(DISTINCT destination) AS destinations,
       min(date) AS first_departure,
       max(date) AS last_departure
FROM flights
WHERE origin = $origin AND month(date) BETWEEN $first_month AND $last_month";

/// Summary of the flights from one airport, over all months or in one.
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
    let bound = params! {
        origin: origin.clone(),
        first_month: month.unwrap_or(1),
        last_month: month.unwrap_or(12),
    };
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
    let accepts = "an airport's code of 3 letters or digits, such as SFO";
    let Some(text) = params.take("origin")? else {
        return Err(Problem::parameter("origin", "it is missing", accepts));
    };
    let origin = text.to_ascii_uppercase();
    if origin.len() == 3 && origin.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(origin)
    } else {
        Err(refused("origin", &text, accepts))
    }
}
