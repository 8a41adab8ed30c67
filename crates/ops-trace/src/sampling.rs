#[cfg(any(feature = "http", feature = "tracing-spans"))]
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

#[cfg(feature = "http")]
use opentelemetry::trace::TraceContextExt;
use opentelemetry::trace::{Link, SpanKind, TraceId};
#[cfg(any(feature = "http", feature = "tracing-spans"))]
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
use opentelemetry::{Context, KeyValue};
#[cfg(any(feature = "http", feature = "tracing-spans"))]
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
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

/// Decision about the span that the SDK makes next on this thread.
#[cfg(any(feature = "http", feature = "tracing-spans"))]
#[derive(Clone, Copy)]
enum Decided {
    /// It begins this trace, which is sampled.
    Sampled(TraceId),
    /// It has these ids and is not sampled, but recorded.
    #[cfg(feature = "http")]
    Recorded(TraceId, SpanId),
}

#[cfg(any(feature = "http", feature = "tracing-spans"))]
thread_local! {
    static DECIDED: Cell<Option<Decided>> = const { Cell::new(None) };
}

#[cfg(any(feature = "http", feature = "tracing-spans"))]
fn decide(decided: Option<Decided>) {
    let _ = DECIDED.try_with(|next| next.set(decided));
}

#[cfg(any(feature = "http", feature = "tracing-spans"))]
fn decided() -> Option<Decided> {
    DECIDED.try_with(Cell::get).ok().flatten()
}

/// Makes a span of the SDK that has these ids, whatever the sampler would say, and is not sampled, but recorded.
#[cfg(feature = "http")]
pub(crate) fn recorded<S>(ids: &SpanContext, build: impl FnOnce() -> S) -> S {
    decide(Some(Decided::Recorded(ids.trace_id(), ids.span_id())));
    let span = build();
    decide(None);
    span
}

/// Random ids, unless they were decided about already.
#[cfg(any(feature = "http", feature = "tracing-spans"))]
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids(RandomIdGenerator);

#[cfg(any(feature = "http", feature = "tracing-spans"))]
impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        match decided() {
            Some(Decided::Sampled(trace_id)) => {
                decide(None);
                trace_id
            }
            #[cfg(feature = "http")]
            Some(Decided::Recorded(trace_id, _)) => trace_id,
            None => self.0.new_trace_id(),
        }
    }

    fn new_span_id(&self) -> SpanId {
        match decided() {
            #[cfg(feature = "http")]
            Some(Decided::Recorded(_, span_id)) => span_id,
            _ => self.0.new_span_id(),
        }
    }
}

#[cfg(any(feature = "http", feature = "tracing-spans"))]
impl LiveRatio {
    /// Returns the ids of a new trace if it is not sampled, for which the SDK would make a whole span. If it is, the next trace
    /// id that is made on this thread is the one that was decided about: the decision depends on nothing but the id, so that
    /// other services come to the same one.
    pub(crate) fn unsampled_root(&self) -> Option<SpanContext> {
        let ids = RandomIdGenerator::default();
        let trace_id = ids.new_trace_id();
        if samples(self.get(), trace_id) {
            decide(Some(Decided::Sampled(trace_id)));
            return None;
        }
        let (span_id, state) = (ids.new_span_id(), TraceState::NONE);
        let flags = TraceFlags::default();
        Some(SpanContext::new(trace_id, span_id, flags, false, state))
    }

    /// Returns the ids of a span below this parent if it is not sampled, by the parent's flag or else by the trace id.
    #[cfg(feature = "http")]
    pub(crate) fn unsampled_below(
        &self,
        parent: &SpanContext,
        by_flag: bool,
    ) -> Option<SpanContext> {
        let trace_id = parent.trace_id();
        let sampled = if by_flag {
            parent.is_sampled()
        } else {
            samples(self.get(), trace_id)
        };
        let ids = || {
            let span_id = RandomIdGenerator::default().new_span_id();
            let flags = parent.trace_flags().with_sampled(false);
            let state = parent.trace_state().clone();
            SpanContext::new(trace_id, span_id, flags, false, state)
        };
        (!sampled).then(ids)
    }
}

/// Decides as the SDK's sampler does.
#[cfg(any(feature = "http", feature = "tracing-spans"))]
fn samples(ratio: f64, trace_id: TraceId) -> bool {
    let [.., a, b, c, d, e, f, g, h] = trace_id.to_bytes();
    let random = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
    ratio >= 1.0 || random < (ratio.max(0.0) * (1_u64 << 63) as f64) as u64
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
        #[cfg(feature = "http")]
        if let Some(Decided::Recorded(..)) = decided() {
            return recorded_only(parent);
        }
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

/// Result for a span that was decided about, with the trace state that the SDK's samplers hand on.
#[cfg(feature = "http")]
fn recorded_only(parent: Option<&Context>) -> SamplingResult {
    let state = parent.map(|parent| parent.span().span_context().trace_state().clone());
    SamplingResult {
        decision: SamplingDecision::RecordOnly,
        attributes: Vec::new(),
        trace_state: state.unwrap_or_default(),
    }
}

#[cfg(all(test, feature = "tracing-spans"))]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_decides_as_the_sdk_does() {
        let ids = RandomIdGenerator::default();
        for ratio in [-1.0, 0.0, 1e-9, 0.1, 0.5, 0.999_999, 1.0, 2.0] {
            for _ in 0..2_000 {
                let id = ids.new_trace_id();
                let sdk = Sampler::TraceIdRatioBased(ratio);
                let sdk = sdk.should_sample(None, id, "", &SpanKind::Internal, &[], &[]);
                let sdk = sdk.decision == SamplingDecision::RecordAndSample;
                assert_eq!(samples(ratio, id), sdk, "{ratio} {id}");
            }
        }
    }
}
