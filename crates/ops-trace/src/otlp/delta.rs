use std::collections::HashMap;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
};

/// Totals that the collector has; exports contain the differences to
/// them. Differences of a failed export are part of the next one.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    totals: HashMap<String, Total>,
}

/// Totals of the request that is being sent.
pub(super) type Pending = Vec<(String, Total)>;

/// A total with its time.
#[derive(Clone, Debug)]
pub(super) struct Total {
    value: TotalValue,
    at: u64,
}

#[derive(Clone, Debug)]
enum TotalValue {
    Number(Number),
    Histogram {
        sum: f64,
        bounds: Vec<f64>,
        counts: Vec<u64>,
    },
}

impl Delivered {
    /// Replaces totals by differences. Gauges do not change.
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

    /// Stores the totals that the collector has now.
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
            // a total that decreased has started again
            && let Some(difference) = difference(total, value)
        {
            point.value = Some(difference);
            // the clock may have been set back
            point.start_time_unix_nano = before.at.min(at);
        }
        let value = TotalValue::Number(total);
        pending.push((key, Total { value, at }));
    }

    fn histogram(&self, metric: &str, point: &mut HistogramDataPoint, pending: &mut Pending) {
        let (key, at) = (key(metric, &point.attributes), point.time_unix_nano);
        let value = TotalValue::Histogram {
            sum: point.sum.unwrap_or_default(),
            bounds: point.explicit_bounds.clone(),
            counts: point.bucket_counts.clone(),
        };
        if let Some(before) = self.totals.get(&key)
            && let TotalValue::Histogram {
                sum,
                bounds,
                counts,
            } = &before.value
            && point.explicit_bounds == *bounds
            && let Some(differences) = differences(&point.bucket_counts, counts)
        {
            point.bucket_counts = differences;
            point.count = point.bucket_counts.iter().sum();
            point.sum = point.sum.map(|total| total - sum);
            point.start_time_unix_nano = before.at.min(at);
        }
        pending.push((key, Total { value, at }));
    }
}

/// Returns the difference of each bucket; `None` if the buckets started again.
fn differences(totals: &[u64], before: &[u64]) -> Option<Vec<u64>> {
    let pairs = totals.iter().zip(before);
    let differences = pairs.map(|(total, before)| total.checked_sub(*before));
    (totals.len() == before.len()).then(|| differences.collect())?
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

/// Returns a key of a series from its name and labels, independent
/// of the order of the labels. Lengths make it unambiguous.
fn key(metric: &str, labels: &[KeyValue]) -> String {
    let mut key = metric.to_owned();
    let mut labels: Vec<&KeyValue> = labels.iter().collect();
    labels.sort_by(|one, other| one.key.cmp(&other.key));
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

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::{Histogram, Sum};

    fn metrics(start: u64, at: u64, total: i64) -> Vec<Metric> {
        let point = NumberDataPoint {
            start_time_unix_nano: start,
            time_unix_nano: at,
            value: Some(Number::AsInt(total)),
            ..NumberDataPoint::default()
        };
        let observed = HistogramDataPoint {
            start_time_unix_nano: start,
            time_unix_nano: at,
            count: total.unsigned_abs(),
            sum: Some(total as f64),
            bucket_counts: vec![total.unsigned_abs(), 0],
            ..HistogramDataPoint::default()
        };
        let sum = Sum {
            data_points: vec![point],
            ..Sum::default()
        };
        let histogram = Histogram {
            data_points: vec![observed],
            ..Histogram::default()
        };
        [("a", Data::Sum(sum)), ("b", Data::Histogram(histogram))]
            .map(|(name, data)| Metric {
                name: name.to_owned(),
                data: Some(data),
                ..Metric::default()
            })
            .into()
    }

    /// Exports a total of 5 at 1000, then `total` at `at`; returns both points of the second export.
    fn after_a_total_of_5(at: u64, total: i64) -> (NumberDataPoint, HistogramDataPoint) {
        let mut delivered = Delivered::default();
        let pending = delivered.differences(&mut metrics(10, 1000, 5));
        delivered.commit(pending);
        let mut after = metrics(10, at, total);
        delivered.differences(&mut after);
        let [Some(Data::Sum(sum)), Some(Data::Histogram(histogram))] =
            [&after[0].data, &after[1].data]
        else {
            unreachable!()
        };
        (sum.data_points[0].clone(), histogram.data_points[0].clone())
    }

    #[test]
    fn a_decreased_total_counts_as_a_restart() {
        let (point, observed) = after_a_total_of_5(2000, 3);
        assert_eq!(
            (point.value, point.start_time_unix_nano),
            (Some(Number::AsInt(3)), 10)
        );
        assert_eq!(
            (observed.count, observed.sum, observed.start_time_unix_nano),
            (3, Some(3.0), 10)
        );
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_difference_that_ends_before_it_starts() {
        let (point, observed) = after_a_total_of_5(400, 7);
        assert_eq!(point.value, Some(Number::AsInt(2)));
        assert_eq!(observed.count, 2);
        assert_eq!(
            (point.start_time_unix_nano, point.time_unix_nano),
            (400, 400)
        );
        assert_eq!(
            (observed.start_time_unix_nano, observed.time_unix_nano),
            (400, 400)
        );
    }
}
