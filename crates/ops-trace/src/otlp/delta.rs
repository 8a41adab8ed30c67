use std::collections::HashMap;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
};

/// Totals that the collector has: what is exported is what came on top. Totals of an export that failed stay for the next
/// one.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    totals: HashMap<String, Total>,
}

/// Totals of the request that is sent.
pub(super) type Pending = Vec<(String, Total)>;

/// A total, and its time.
#[derive(Clone, Debug)]
pub(super) struct Total {
    value: TotalValue,
    at: u64,
}

#[derive(Clone, Debug)]
enum TotalValue {
    Number(Number),
    Histogram { sum: f64, counts: Vec<u64> },
}

impl Delivered {
    /// Makes differences of totals. Gauges stay as they are.
    pub(super) fn differences(&self, metrics: &mut [Metric]) -> Pending {
        let delta = AggregationTemporality::Delta as i32;
        let mut pending = Pending::new();
        for metric in metrics {
            match &mut metric.data {
                Some(Data::Sum(sum)) => {
                    sum.aggregation_temporality = delta;
                    for point in &mut sum.data_points {
                        self.number(&metric.name, point, &mut pending);
                    }
                }
                Some(Data::Histogram(histogram)) => {
                    histogram.aggregation_temporality = delta;
                    for point in &mut histogram.data_points {
                        self.histogram(&metric.name, point, &mut pending);
                    }
                }
                _ => {}
            }
        }
        pending
    }

    /// Remembers what the collector has now.
    pub(super) fn commit(&mut self, pending: Pending) {
        self.totals.extend(pending);
    }

    fn number(&self, metric: &str, point: &mut NumberDataPoint, pending: &mut Pending) {
        let key = key(metric, &point.attributes);
        let (Some(total), at) = (point.value, point.time_unix_nano) else {
            return;
        };
        if let Some(before) = self.totals.get(&key)
            && let TotalValue::Number(value) = before.value
            // a total that went back is one that began anew
            && let Some(difference) = difference(total, value)
        {
            point.value = Some(difference);
            point.start_time_unix_nano = before.at;
        }
        let value = TotalValue::Number(total);
        pending.push((key, Total { value, at }));
    }

    fn histogram(&self, metric: &str, point: &mut HistogramDataPoint, pending: &mut Pending) {
        let (key, at) = (key(metric, &point.attributes), point.time_unix_nano);
        let value = TotalValue::Histogram {
            sum: point.sum.unwrap_or_default(),
            counts: point.bucket_counts.clone(),
        };
        if let Some(before) = self.totals.get(&key)
            && let TotalValue::Histogram { sum, counts } = &before.value
            && counts.len() == point.bucket_counts.len()
        {
            for (count, before) in point.bucket_counts.iter_mut().zip(counts) {
                *count = count.saturating_sub(*before);
            }
            point.count = point.bucket_counts.iter().sum();
            point.sum = point.sum.map(|total| total - sum);
            point.start_time_unix_nano = before.at;
        }
        pending.push((key, Total { value, at }));
    }
}

fn difference(total: Number, before: Number) -> Option<Number> {
    match (total, before) {
        (Number::AsInt(total), Number::AsInt(before)) if total >= before => {
            Some(Number::AsInt(total - before))
        }
        (Number::AsDouble(total), Number::AsDouble(before)) if total >= before => {
            Some(Number::AsDouble(total - before))
        }
        _ => None,
    }
}

/// Name and labels of a series. Lengths tell them apart, whatever the labels hold.
fn key(metric: &str, labels: &[KeyValue]) -> String {
    let mut key = metric.to_owned();
    for label in labels {
        let value = label.value.as_ref().and_then(|value| value.value.as_ref());
        let text = match value {
            Some(Any::StringValue(text)) => text.as_str(),
            _ => "",
        };
        // writing to a String does not fail
        let _ = write!(
            key,
            "\0{}:{}{}:{text}",
            label.key.len(),
            label.key,
            text.len()
        );
    }
    key
}
