use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::domain_metrics::{IsochroneStatus, Mode};
use crate::isochrone::{Failure, Question};
use crate::params::Params;
use crate::platform::Platform;
use crate::problem::Problem;

/// Returns the area reachable from a point within some minutes, as GeoJSON (RFC 7946).
pub async fn area(
    State(platform): State<Arc<Platform>>,
    mut params: Params,
) -> Result<Response, Problem> {
    let latitude = degrees(
        &mut params,
        "lat",
        90.0,
        "a latitude from -90 to 90 degrees",
    )?;
    let longitude = degrees(
        &mut params,
        "lon",
        180.0,
        "a longitude from -180 to 180 degrees",
    )?;
    let accepts = "a whole number from 1 to 60";
    let minutes = params.parse("minutes", accepts, |minutes: &u32| {
        (1..=60).contains(minutes)
    })?;
    let minutes = minutes.ok_or_else(|| missing("minutes", accepts))?;
    let mode = mode(&mut params)?;
    params.finish("lat, lon, minutes and mode")?;
    let question = Question {
        latitude,
        longitude,
        minutes,
        mode,
    };
    let answered = platform
        .isochrones
        .answer(platform.secrets(), question)
        .await;
    let collection = answered.map_err(|failure| problem(&failure))?;
    let kind = [(header::CONTENT_TYPE, "application/geo+json")];
    Ok((kind, collection.to_string()).into_response())
}

fn degrees(params: &mut Params, name: &str, most: f64, accepts: &str) -> Result<f64, Problem> {
    let found = params.parse(name, accepts, |degrees: &f64| degrees.abs() <= most)?;
    found.ok_or_else(|| missing(name, accepts))
}

fn mode(params: &mut Params) -> Result<Mode, Problem> {
    let accepts = "driving (default), walking or cycling";
    match params.take("mode")?.as_deref() {
        None | Some("driving") => Ok(Mode::Driving),
        Some("walking") => Ok(Mode::Walking),
        Some("cycling") => Ok(Mode::Cycling),
        Some(other) => Err(crate::params::invalid("mode", other, accepts)),
    }
}

fn missing(name: &str, accepts: &str) -> Problem {
    Problem::parameter(name, "missing parameter", accepts)
}

/// Describes the cause without the provider's response, which may contain the address, and so the token.
fn problem(failure: &Failure) -> Problem {
    let (status, detail) = match (failure.status, failure.http_status) {
        (IsochroneStatus::NoArea, _) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "the provider found no isochrone; the point may be too far from a road",
        ),
        (IsochroneStatus::ClientError, Some(401 | 403)) => {
            (StatusCode::BAD_GATEWAY, "the provider rejected the token")
        }
        (IsochroneStatus::Timeout, _) => (
            StatusCode::GATEWAY_TIMEOUT,
            "the provider did not respond in time",
        ),
        (IsochroneStatus::RateLimited, _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the provider is rate limiting requests",
        ),
        (IsochroneStatus::CircuitOpen, _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "requests to the provider are paused because it failed repeatedly or asked for a pause",
        ),
        (IsochroneStatus::Busy, _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many concurrent requests to the provider",
        ),
        _ => (
            StatusCode::BAD_GATEWAY,
            "the provider failed or returned an unusable response",
        ),
    };
    let problem = Problem::new(status, detail);
    match failure.retry_after {
        Some(wait) if status == StatusCode::SERVICE_UNAVAILABLE => {
            problem.retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
        }
        _ => problem,
    }
}
