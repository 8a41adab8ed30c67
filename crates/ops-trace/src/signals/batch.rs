use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as ProtoMetric,
    NumberDataPoint, Sum,
};

use crate::signals::nanos;

/// Function that fills a batch.
#[derive(Clone)]
pub(crate) struct MetricsSource(Arc<dyn Fn(&mut MetricsBatch) + Send + Sync>);

impl MetricsSource {
    pub(crate) fn new(source: impl Fn(&mut MetricsBatch) + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    pub(crate) fn fill(&self, batch: &mut MetricsBatch) {
        (self.0)(batch);
    }
}

impl fmt::Debug for MetricsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsSource")
    }
}

/// Name, help and unit of a metric in the export.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Metric<'a> {
    /// Name.
    pub name: &'a str,
    /// Description.
    pub help: &'a str,
    /// Unit in the form of UCUM: `s`, `By`, or empty for counts of things.
    pub unit: &'a str,
}

impl<'a> Metric<'a> {
    /// Creates a metric with this name.
    pub fn new(name: &'a str, help: &'a str, unit: &'a str) -> Self {
        Self { name, help, unit }
    }
}

/// All metrics at one moment, filled by [`Config::metrics_source`](crate::Config::metrics_source).
///
/// Series of the same metric that are added one after the other become one metric. Totals count from the start of the
/// process, whatever temporality is exported.
#[derive(Debug)]
pub struct MetricsBatch {
    pub(crate) metrics: Vec<ProtoMetric>,
    start: u64,
    now: u64,
}

/// Labels of a series.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl MetricsBatch {
    pub(crate) fn new(start: u64, now: SystemTime) -> Self {
        Self {
            metrics: Vec::new(),
            start,
            now: nanos(now),
        }
    }

    /// Adds a total that only grows.
    pub fn counter(&mut self, metric: Metric<'_>, labels: Labels<'_>, total: u64) {
        // OTLP has no unsigned integers
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        self.sum(metric, labels, Number::AsInt(total));
    }

    /// Adds a total that only grows and has fractions, such as seconds.
    pub fn counter_f64(&mut self, metric: Metric<'_>, labels: Labels<'_>, total: f64) {
        self.sum(metric, labels, Number::AsDouble(total));
    }

    /// Adds a value that can go up and down.
    pub fn gauge(&mut self, metric: Metric<'_>, labels: Labels<'_>, value: f64) {
        let point = self.point(labels, Number::AsDouble(value));
        if let Some(Data::Gauge(gauge)) = self.last(&metric) {
            return gauge.data_points.push(point);
        }
        let data_points = vec![point];
        self.add(&metric, Data::Gauge(Gauge { data_points }));
    }

    /// Adds observations in buckets: `counts` has one more element than
    /// `bounds`, for values above the last bound. Otherwise the call is ignored.
    pub fn histogram(
        &mut self,
        metric: Metric<'_>,
        labels: Labels<'_>,
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        if counts.len() != bounds.len() + 1 {
            return;
        }
        let point = HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: counts.iter().sum(),
            sum: Some(sum),
            bucket_counts: counts.to_vec(),
            explicit_bounds: bounds.to_vec(),
            ..HistogramDataPoint::default()
        };
        if let Some(Data::Histogram(histogram)) = self.last(&metric) {
            return histogram.data_points.push(point);
        }
        let histogram = Histogram {
            data_points: vec![point],
            aggregation_temporality: AggregationTemporality::Cumulative as i32,
        };
        self.add(&metric, Data::Histogram(histogram));
    }

    fn sum(&mut self, metric: Metric<'_>, labels: Labels<'_>, total: Number) {
        let point = self.point(labels, total);
        if let Some(Data::Sum(sum)) = self.last(&metric) {
            return sum.data_points.push(point);
        }
        let sum = Sum {
            data_points: vec![point],
            aggregation_temporality: AggregationTemporality::Cumulative as i32,
            is_monotonic: true,
        };
        self.add(&metric, Data::Sum(sum));
    }

    fn point(&self, labels: Labels<'_>, value: Number) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    /// Returns the data of the last added metric, if it is this one.
    fn last(&mut self, metric: &Metric<'_>) -> Option<&mut Data> {
        let last = self.metrics.last_mut();
        let last = last.filter(|last| last.name == metric.name);
        last.and_then(|last| last.data.as_mut())
    }

    fn add(&mut self, metric: &Metric<'_>, data: Data) {
        self.metrics.push(ProtoMetric {
            name: metric.name.to_owned(),
            description: metric.help.to_owned(),
            unit: metric.unit.to_owned(),
            data: Some(data),
            ..ProtoMetric::default()
        });
    }
}

fn attributes(labels: Labels<'_>) -> Vec<KeyValue> {
    let pairs = labels.iter().map(|(key, value)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue {
            value: Some(Any::StringValue((*value).to_owned())),
        }),
        ..KeyValue::default()
    });
    pairs.collect()
}
