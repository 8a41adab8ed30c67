use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};
use parking_lot::Mutex;

const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The share of new traces that are sampled; it can be changed for a time while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct LiveRatio {
    configured: f64,
    change: Arc<Change>,
}

#[derive(Debug, Default)]
struct Change {
    /// Set while a change may hold; otherwise nobody asks further.
    happened: AtomicBool,
    instead: Mutex<Option<(f64, Instant)>>,
}

impl LiveRatio {
    pub(crate) fn new(configured: f64) -> Self {
        Self {
            configured,
            change: Arc::default(),
        }
    }

    pub(crate) fn set(&self, ratio: f64, ttl: Duration) {
        let now = Instant::now();
        // a time beyond what the clock can say is for ever; a year is as good
        let until = now.checked_add(ttl).unwrap_or(now + LONGEST);
        let mut instead = self.change.instead.lock();
        *instead = Some((ratio, until));
        self.change.happened.store(true, Release);
    }

    pub(crate) fn sampling(&self) -> Sampling {
        let now = Instant::now();
        let instead = *self.change.instead.lock();
        let change = instead.filter(|(_, until)| now < *until);
        Sampling {
            ratio: change.map_or(self.configured, |(ratio, _)| ratio),
            configured: self.configured,
            remaining: change.map(|(_, until)| until - now),
        }
    }

    pub(crate) fn get(&self) -> f64 {
        if !self.change.happened.load(Acquire) {
            return self.configured;
        }
        let mut instead = self.change.instead.lock();
        match *instead {
            Some((ratio, until)) if Instant::now() < until => ratio,
            _ => {
                *instead = None;
                self.change.happened.store(false, Release);
                self.configured
            }
        }
    }
}

/// The share of new traces that is sampled.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Sampling {
    /// Share of new traces that is sampled now, from 0 to 1.
    pub ratio: f64,
    /// Share that was configured, and holds again after a change.
    pub configured: f64,
    /// Time until a change ends; `None` if there is none.
    pub remaining: Option<Duration>,
}

impl ShouldSample for LiveRatio {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        Sampler::TraceIdRatioBased(self.get())
            .should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// Records spans that the sampler drops: requests for the ring of recent traces, or all for a decision at their end. The
/// sampled flag says no all the same.
#[derive(Clone, Debug)]
pub(crate) struct Recording<S> {
    sampler: S,
    all: bool,
}

impl<S> Recording<S> {
    pub(crate) fn new(sampler: S, all: bool) -> Self {
        Self { sampler, all }
    }
}

impl<S: ShouldSample + Clone + 'static> ShouldSample for Recording<S> {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self
            .sampler
            .should_sample(parent, trace_id, name, kind, attributes, links);
        let is_request = matches!(kind, SpanKind::Server | SpanKind::Consumer);
        if result.decision == SamplingDecision::Drop && (self.all || is_request) {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
}
