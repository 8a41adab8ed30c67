use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The share of new traces that are sampled; it can be changed for a time while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct LiveRatio(Arc<ArcSwap<Ratio>>);

#[derive(Debug)]
struct Ratio {
    configured: f64,
    instead: Option<(f64, Instant)>,
}

impl LiveRatio {
    pub(crate) fn new(configured: f64) -> Self {
        let ratio = Ratio {
            configured,
            instead: None,
        };
        Self(Arc::new(ArcSwap::from_pointee(ratio)))
    }

    pub(crate) fn set(&self, ratio: f64, ttl: Duration) {
        let configured = self.0.load().configured;
        let now = Instant::now();
        // a time beyond what the clock can say is for ever; a year is as good
        let until = now.checked_add(ttl).unwrap_or(now + LONGEST);
        let instead = Some((ratio, until));
        self.0.store(Arc::new(Ratio {
            configured,
            instead,
        }));
    }

    pub(crate) fn get(&self) -> f64 {
        let ratio = self.0.load();
        match ratio.instead {
            Some((instead, until)) if Instant::now() < until => instead,
            _ => ratio.configured,
        }
    }
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
