use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
};
use prost::{DecodeError, Message};

use super::received::{texts, value};

/// A data point of a metric as a collector receives it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReceivedPoint {
    /// Name of the metric.
    pub metric: String,
    /// Description of the metric.
    pub help: String,
    /// Unit of the metric.
    pub unit: String,
    /// `sum`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// True if it is the difference to the previous point.
    pub is_delta: bool,
    /// Labels, values as text.
    pub attributes: Vec<(String, String)>,
    /// Start of the time span of the point.
    pub start: SystemTime,
    /// End of the time span of the point.
    pub time: SystemTime,
    /// The number, or the sum of a histogram.
    pub value: f64,
    /// Counts of a histogram's buckets, not cumulated.
    pub buckets: Vec<u64>,
    /// Upper bounds of a histogram's buckets.
    pub bounds: Vec<f64>,
    /// Resource attributes of the process that sent it.
    pub resource: Vec<(String, String)>,
}

impl ReceivedPoint {
    /// Returns the value of a label as text.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        value(&self.attributes, key)
    }
}

pub(super) fn of(body: &[u8]) -> Result<Vec<ReceivedPoint>, DecodeError> {
    let mut points = Vec::new();
    for of_resource in ExportMetricsServiceRequest::decode(body)?.resource_metrics {
        let resource = texts(of_resource.resource.unwrap_or_default().attributes);
        let of_scopes = of_resource.scope_metrics.into_iter();
        for metric in of_scopes.flat_map(|of_scope| of_scope.metrics) {
            let empty = ReceivedPoint {
                metric: metric.name.clone(),
                help: metric.description.clone(),
                unit: metric.unit.clone(),
                kind: "",
                is_delta: false,
                attributes: Vec::new(),
                start: SystemTime::UNIX_EPOCH,
                time: SystemTime::UNIX_EPOCH,
                value: 0.0,
                buckets: Vec::new(),
                bounds: Vec::new(),
                resource: resource.clone(),
            };
            points.extend(of_metric(metric, &empty));
        }
    }
    Ok(points)
}

fn of_metric(metric: Metric, empty: &ReceivedPoint) -> Vec<ReceivedPoint> {
    let is_delta = |temporality| temporality == AggregationTemporality::Delta as i32;
    match metric.data {
        Some(Data::Sum(sum)) => {
            let is_delta = is_delta(sum.aggregation_temporality);
            let points = sum.data_points.into_iter();
            points
                .map(|point| number(point, "sum", is_delta, empty))
                .collect()
        }
        Some(Data::Gauge(gauge)) => {
            let points = gauge.data_points.into_iter();
            points
                .map(|point| number(point, "gauge", false, empty))
                .collect()
        }
        Some(Data::Histogram(histogram)) => {
            let is_delta = is_delta(histogram.aggregation_temporality);
            let points = histogram.data_points.into_iter();
            points
                .map(|point| distribution(point, is_delta, empty))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn number(
    point: NumberDataPoint,
    kind: &'static str,
    is_delta: bool,
    empty: &ReceivedPoint,
) -> ReceivedPoint {
    ReceivedPoint {
        kind,
        is_delta,
        attributes: texts(point.attributes),
        start: at(point.start_time_unix_nano),
        time: at(point.time_unix_nano),
        value: match point.value {
            Some(Value::AsInt(value)) => value as f64,
            Some(Value::AsDouble(value)) => value,
            None => f64::NAN,
        },
        ..empty.clone()
    }
}

fn distribution(point: HistogramDataPoint, is_delta: bool, empty: &ReceivedPoint) -> ReceivedPoint {
    ReceivedPoint {
        kind: "histogram",
        is_delta,
        attributes: texts(point.attributes),
        start: at(point.start_time_unix_nano),
        time: at(point.time_unix_nano),
        value: point.sum.unwrap_or(f64::NAN),
        buckets: point.bucket_counts,
        bounds: point.explicit_bounds,
        ..empty.clone()
    }
}

fn at(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}
