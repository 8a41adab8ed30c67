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
use crate::otlp::source_call::{SourceCall, SourceOutcome};
use crate::otlp::worker::Source;
use crate::signals::batch::MetricsSource;
use crate::signals::nanos;

/// Minimum time for the source before the export fails without it.
const SOURCE_WAIT: Duration = Duration::from_secs(1);
/// Number of intervals for the source: one that is slower than the interval is exported when it returns.
const PATIENCE_INTERVALS: u32 = 4;
/// Maximum number of hanging calls of the source; at this number no further call is made.
const MAX_HANGING: usize = 4;
/// Number of data points at which a request accepts no further metric: about 2 MiB.
const REQUEST_POINTS: usize = 10_000;

/// Sends all metrics at each interval, and at the end.
pub(crate) struct Metrics {
    source: MetricsSource,
    /// Set while the source runs.
    call: Option<SourceCall>,
    /// Time at which the running call is late.
    late_at: Instant,
    hanging: Vec<SourceCall>,
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
            call: None,
            late_at: Instant::now(),
            hanging: Vec::new(),
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

/// Start time of totals.
///
/// It follows a clock that is set back: points that end before they start are refused, and points that stay at the time
/// before the clock was set back do not show the current time.
struct Start(SystemTime);

impl Start {
    fn before(&mut self, now: SystemTime) -> u64 {
        self.0 = self.0.min(now);
        nanos(self.0)
    }
}

impl Metrics {
    /// Calls the source, unless too many calls hang.
    fn begin(&mut self) {
        self.hanging.retain(|call| !call.is_done());
        if self.hanging.len() >= MAX_HANGING {
            return self.fail_late();
        }
        let now = SystemTime::now();
        let batch = MetricsBatch::new(self.start.before(now), now);
        match SourceCall::start(&self.source, batch) {
            Ok(call) => self.call = Some(call),
            Err(error) => {
                let cause = format!("cannot start the thread for the metrics source: {error}");
                self.delivery.fail(cause);
            }
        }
        let patience = self.interval.saturating_mul(PATIENCE_INTERVALS);
        self.late_at = Instant::now() + patience.max(SOURCE_WAIT);
    }

    /// Sends the metrics of the source; returns false if it is still running.
    fn finish(&mut self) -> bool {
        let Some(outcome) = self.call.as_ref().and_then(SourceCall::take) else {
            return false;
        };
        self.call = None;
        match outcome {
            SourceOutcome::Panicked => {
                let cause = "the metrics source panicked".to_owned();
                self.delivery.fail(cause);
            }
            SourceOutcome::Metrics(metrics) => {
                self.delivery.source_delivered();
                for request in requests(metrics) {
                    self.send(request);
                }
            }
        }
        true
    }

    fn finish_until(&mut self, deadline: Instant) {
        while self.call.is_some() && !self.finish() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }

    fn fail_late(&mut self) {
        let cause = "the metrics source has not returned".to_owned();
        self.delivery.fail(cause);
    }
}

impl Source for Metrics {
    fn due(&self) -> Instant {
        match &self.call {
            Some(call) if call.is_done() => Instant::now(),
            Some(_) => self.late_at,
            None => self.next,
        }
    }

    /// Begins an export, or ends it if the source has returned or is late.
    fn push(&mut self) {
        if self.finish() {
            return;
        }
        if let Some(late) = self.call.take() {
            self.hanging.push(late);
            return self.fail_late();
        }
        // the interval is kept, unless an export took longer
        let soonest = Instant::now() + self.interval / 2;
        self.next = (self.next + self.interval).max(soonest);
        self.begin();
    }

    fn push_the_rest(&mut self) {
        let budget = self.delivery.remaining_budget().unwrap_or_default();
        if budget.is_zero() {
            return;
        }
        // most of the budget is for the last call, and for sending
        self.finish_until(Instant::now() + budget / 4);
        if self.call.is_some() {
            // the next call would take as long
            return self.fail_late();
        }
        // sending the previous metrics may have taken long
        let budget = self.delivery.remaining_budget().unwrap_or_default();
        if budget.is_zero() {
            return;
        }
        self.begin();
        self.finish_until(Instant::now() + budget / 2);
        if self.call.is_some() {
            self.fail_late();
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
