use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ops_layer::cache::params;

use super::answer::answer;
use crate::params::{Params, refused};
use crate::platform::Platform;
use crate::problem::Problem;

/// Great-circle distance (haversine) on a sphere of the Earth's mean radius.
const NEAR: &str = "\
SELECT iata, name, city, state, country, latitude, longitude,
       round(2 * 6371.0088 * asin(sqrt(
           pow(sin(radians(latitude - $lat) / 2), 2)
           + cos(radians($lat)) * cos(radians(latitude)) * pow(sin(radians(longitude - $lon) / 2), 2)
       )), 3) AS distance_km
FROM airports
ORDER BY distance_km, iata
LIMIT $limit";

/// The airports nearest to a point.
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
    let bound = params! { lat: lat, lon: lon, limit: limit };
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
        return Err(Problem::parameter("near", "it is missing", accepts));
    };
    let parsed = text
        .split_once(',')
        .and_then(|(lat, lon)| Some((lat.trim().parse().ok()?, lon.trim().parse().ok()?)));
    match parsed {
        Some((lat, lon)) if (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon) => {
            Ok((lat, lon))
        }
        _ => Err(refused("near", &text, accepts)),
    }
}
