use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ops_layer::cache::{Params as Bound, Value};

use super::answer::answer;
use crate::params::{Params, invalid};
use crate::platform::Platform;
use crate::problem::Problem;

/// Great-circle distance (haversine) on a sphere of the Earth's mean radius. Standard SQL, also for engines other than
/// DuckDB: these may infer the type of a parameter from the other operand, and accept no parameter in LIMIT.
const NEAR: &str = "\
WITH measured AS (
    SELECT iata, name, city, state, country, latitude, longitude,
           round(2 * 6371.0088 * asin(least(1.0, sqrt(
               power(sin(radians(latitude - $1) / 2), 2)
               + cos(radians($1 + 0.0)) * cos(radians(latitude)) * power(sin(radians(longitude - $2) / 2), 2)
           ))), 3) AS distance_km
    FROM airports
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY distance_km, iata) AS place FROM measured
)
SELECT iata, name, city, state, country, latitude, longitude, distance_km
FROM ranked
WHERE place <= $3
ORDER BY place";

/// Returns the airports nearest to a point.
pub async fn near(
    State(platform): State<Arc<Platform>>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let (lat, lon) = point(&mut params)?;
    let limit = params
        .parse("limit", "a whole number from 1 to 100", |limit: &i64| {
            (1..=100).contains(limit)
        })?
        .unwrap_or(10);
    params.finish("near and limit")?;
    let bound = Bound::positional([Value::from(lat), lon.into(), limit.into()]);
    answer(
        &platform,
        &headers,
        NEAR,
        bound,
        |rows| serde_json::json!({ "near": [lat, lon], "airports": rows }),
    )
    .await
}

fn point(params: &mut Params) -> Result<(f64, f64), Problem> {
    let accepts = "latitude,longitude in degrees, such as 37.6,-122.4";
    let Some(text) = params.take("near")? else {
        return Err(Problem::parameter("near", "missing parameter", accepts));
    };
    let parsed = text
        .split_once(',')
        .and_then(|(lat, lon)| Some((lat.trim().parse().ok()?, lon.trim().parse().ok()?)));
    match parsed {
        Some((lat, lon)) if (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon) => {
            Ok((lat, lon))
        }
        _ => Err(invalid("near", &text, accepts)),
    }
}
