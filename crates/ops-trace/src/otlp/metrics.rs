use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::MetricsBatch;
use crate::config::signals::MetricsSettings;
use crate::otlp::delivery::Delivery;
use crate::otlp::delta::Delivered;
use crate::otlp::scope;
use crate::otlp::worker::Source;
use crate::signals::batch::MetricsSource;
use crate::signals::nanos;

/// Number of data points from which on a request takes no further metric: about 2 MiB.
const REQUEST_POINTS: usize = 10_000;

/// Sends all metrics once in an interval, and at the end.
pub(crate) struct Metrics {
    source: MetricsSource,
    resource: Resource,
    interval: Duration,
    next: Instant,
    start: Start,
    /// `None` if totals are exported.
    delivered: Option<Delivered>,
    delivery: Delivery,
}

impl Metrics {
    pub(crate) fn new(settings: &MetricsSettings, resource: Resource, delivery: Delivery) -> Self {
        Self {
            source: settings.source.clone(),
            resource,
            interval: settings.interval,
            next: Instant::now() + settings.interval,
            start: Start(SystemTime::now()),
            delivered: settings.delta.then(Delivered::default),
            delivery,
        }
    }

    fn send(&mut self, mut metrics: Vec<Metric>) {
        let pending = self.delivered.as_ref();
        let pending = pending.map(|delivered| delivered.differences(&mut metrics));
        let items = metrics.iter().map(points).sum::<usize>() as u64;
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope(env!("CARGO_PKG_NAME"))),
                    metrics,
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        self.delivery.ledger().take(items);
        let is_there = self.delivery.send(items, request.encode_to_vec());
        if let (true, Some(delivered), Some(pending)) = (is_there, &mut self.delivered, pending) {
            delivered.commit(pending);
        }
    }
}

/// Time from which totals count.
///
/// A clock that is set back takes it along: points that end before they start are refused, and such that stay at the time before the
/// clock was right are no points of now.
struct Start(SystemTime);

impl Start {
    fn before(&mut self, now: SystemTime) -> u64 {
        self.0 = self.0.min(now);
        nanos(self.0)
    }
}

impl Source for Metrics {
    fn due(&self) -> Instant {
        self.next
    }

    fn push(&mut self) {
        // the interval is kept, unless an export took longer; it is set before what may panic
        self.next = (self.next + self.interval).max(Instant::now() + self.interval / 2);
        let now = SystemTime::now();
        let mut batch = MetricsBatch::new(self.start.before(now), now);
        let filled = catch_unwind(AssertUnwindSafe(|| self.source.fill(&mut batch)));
        if filled.is_err() {
            self.delivery
                .fail("the source of the metrics panicked".to_owned());
        } else {
            for request in requests(batch.metrics) {
                self.send(request);
            }
        }
    }
}

fn requests(metrics: Vec<Metric>) -> Vec<Vec<Metric>> {
    let (mut requests, mut request, mut points_in_it) = (Vec::new(), Vec::new(), 0);
    for metric in metrics {
        points_in_it += points(&metric);
        request.push(metric);
        if points_in_it >= REQUEST_POINTS {
            requests.push(std::mem::take(&mut request));
            points_in_it = 0;
        }
    }
    if !request.is_empty() {
        requests.push(request);
    }
    requests
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_takes_the_start_along() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut start = Start(at(1000));
        let started = [1060, 400, 460, 2000].map(|now| start.before(at(now)) / 1_000_000_000);
        assert_eq!(started, [1000, 400, 400, 400]);
    }
}
