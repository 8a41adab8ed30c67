//! The ops layer, part by part.

use axum::Router;
use http::{request, response};
use ops_layer::http::{Observe, ObserveLayer, Outcome};
use ops_layer::{log, metrics, trace};
use tower_layer::Identity;

use crate::Result;

/// Adds the layer of the row to the handler.
pub(crate) fn observed(app: Router, row: &str, collector: &str) -> Result<Router> {
    let lines = log::Config::new().json(true);
    let spans = trace::Config::new("ladder").endpoint(format!("{collector}/v1/traces"));
    let spans = match row {
        "bare" => return Ok(app),
        // an axum layer that adds no service: the boxes of axum are not a cost of an observer
        "layer" => return Ok(app.layer(Identity::new())),
        "nothing" => return Ok(app.layer(ObserveLayer::new((Nothing,)))),
        "metrics" => {
            metrics::init(metrics::Config::new())?;
            return Ok(app.layer(ObserveLayer::new((metrics::http::RedMetrics::new(),))));
        }
        "log" => {
            std::mem::forget(log::init(lines)?);
            return Ok(app.layer(ObserveLayer::new((log::http::AccessLog::new(),))));
        }
        "off" => spans.environment([("OTEL_SDK_DISABLED", "true")]),
        "sampled-10" => spans.sampling_ratio(0.1),
        "sampled-10-kept" => spans.sampling_ratio(0.1).keep_errors(true).keep_slow(true),
        "sampled-100" | "refused" => spans.sampling_ratio(1.0),
        _ => return Err(format!("no row is named {row:?}").into()),
    };
    let config = ops_layer::Config::new("ladder").log(lines).trace(spans);
    Ok(app.layer(ops_layer::init(config)?.http()))
}

/// Observer that does nothing.
#[derive(Clone, Copy)]
struct Nothing;

impl Observe for Nothing {
    type Scope = ();
    type Entered<'a> = ();

    fn start(&self, _: &mut request::Parts) {}
    fn enter(&self, _: &mut ()) {}
    fn response(&self, _: &mut (), _: &mut response::Parts) {}
    fn end(&self, _: (), _: &Outcome) {}
}
