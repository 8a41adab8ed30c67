//! Isochrones: the area reachable within some minutes, from Mapbox if its token is set, otherwise estimated.

mod breaker;
mod estimate;
mod mapbox;

use std::time::Duration;

use ops_layer::metrics::Label;
use ops_layer::secrets::{ErrorKind, Secrets};
use serde_json::{Value, json};

pub use mapbox::BaseUrl;

use crate::domain_metrics::{self, IsochroneStatus, Mode, Provider};
use mapbox::Mapbox;

/// Name of the token in the catalog of secrets.
const TOKEN: &str = "mapbox_token";

/// A validated request for an isochrone.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Degrees, -90 to 90.
    pub latitude: f64,
    /// Degrees, -180 to 180.
    pub longitude: f64,
    /// 1 to 60.
    pub minutes: u32,
    pub mode: Mode,
}

/// Reason why a provider returned no isochrone. It contains neither data of the provider nor the URL.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    pub status: IsochroneStatus,
    /// HTTP status of the provider, if it responded.
    pub http_status: Option<u16>,
    pub retry_after: Option<Duration>,
}

impl From<IsochroneStatus> for Failure {
    fn from(status: IsochroneStatus) -> Self {
        Self {
            status,
            http_status: None,
            retry_after: None,
        }
    }
}

/// Both providers.
#[derive(Debug)]
pub struct Isochrones {
    mapbox: Mapbox,
}

impl Isochrones {
    pub fn new(base: BaseUrl) -> Self {
        Self {
            mapbox: Mapbox::new(base),
        }
    }

    /// Returns a GeoJSON feature collection; its only feature names the provider.
    pub async fn answer(&self, secrets: &Secrets, question: Question) -> Result<Value, Failure> {
        let why = match secrets.get(TOKEN).await {
            Ok(token) => {
                let geometry = self.mapbox.ask(&question, &token).await?;
                return Ok(collection(Provider::Mapbox, &question, geometry, None));
            }
            Err(error) if error.kind() == ErrorKind::Missing => "the Mapbox token is missing",
            // the source of the secret logs and counts this
            Err(_) => "the Mapbox token is currently unavailable",
        };
        let timer =
            domain_metrics::isochrone_request_latency_seconds(Provider::Estimate, question.mode)
                .start_timer();
        let geometry = estimate::area(&question);
        drop(timer);
        let (mode, ok) = (question.mode, IsochroneStatus::Ok);
        domain_metrics::isochrone_requests_total(Provider::Estimate, mode, ok).inc();
        let note = format!(
            "estimate: a circle with a radius of {:.1} km, at {} km/h on roads {} times as long as the straight line, because {why}",
            estimate::radius_km(&question),
            estimate::speed_km_h(question.mode),
            estimate::DETOUR
        );
        Ok(collection(
            Provider::Estimate,
            &question,
            geometry,
            Some(note),
        ))
    }
}

fn collection(
    provider: Provider,
    question: &Question,
    geometry: Value,
    note: Option<String>,
) -> Value {
    let mut properties = json!({
        "provider": provider.text(),
        "is_estimate": provider == Provider::Estimate,
        "mode": question.mode.text(),
        "minutes": question.minutes,
    });
    if let Some(note) = note {
        properties["note"] = note.into();
    }
    json!({
        "type": "FeatureCollection",
        "features": [{ "type": "Feature", "properties": properties, "geometry": geometry }],
    })
}
