use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SamplingDecision, SamplingResult, ShouldSample,
};
use parking_lot::Mutex;

const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Share of new traces that are sampled; it can be changed for a limited time while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct LiveRatio {
    configured: f64,
    ratio_override: Arc<Override>,
}

#[derive(Debug, Default)]
struct Override {
    /// Set while a change may be active; otherwise readers do not lock the mutex.
    may_be_active: AtomicBool,
    temporary: Mutex<Option<(f64, Instant)>>,
}

impl LiveRatio {
    pub(crate) fn new(configured: f64) -> Self {
        Self {
            configured,
            ratio_override: Arc::default(),
        }
    }

    pub(crate) fn set(&self, ratio: f64, ttl: Duration) {
        let now = Instant::now();
        // a time beyond the range of the clock means no end, for which a year is enough
        let until = now.checked_add(ttl).unwrap_or(now + LONGEST);
        let mut temporary = self.ratio_override.temporary.lock();
        *temporary = Some((ratio, until));
        self.ratio_override.may_be_active.store(true, Release);
    }

    pub(crate) fn sampling(&self) -> Sampling {
        let now = Instant::now();
        let temporary = *self.ratio_override.temporary.lock();
        let active = temporary.filter(|(_, until)| now < *until);
        Sampling {
            ratio: active.map_or(self.configured, |(ratio, _)| ratio),
            configured: self.configured,
            remaining: active.map(|(_, until)| until - now),
        }
    }

    pub(crate) fn get(&self) -> f64 {
        if !self.ratio_override.may_be_active.load(Acquire) {
            return self.configured;
        }
        let mut temporary = self.ratio_override.temporary.lock();
        match *temporary {
            Some((ratio, until)) if Instant::now() < until => ratio,
            _ => {
                *temporary = None;
                self.ratio_override.may_be_active.store(false, Release);
                self.configured
            }
        }
    }
}

/// Decision about a span before the span is created.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Sampled, below its parent or as the root of a trace.
    Sampled(Option<Decided>),
    /// Not sampled; these are its ids.
    NotSampled(SpanContext),
}

/// Decides as the SDK's samplers of the same names do: for spans of this crate
/// before they are created, and for those that libraries create with the SDK.
#[derive(Clone, Debug)]
pub(crate) struct LiveSampler {
    pub(crate) ratio: LiveRatio,
    /// Set if the sampled flag of a parent decides.
    pub(crate) parent_based: bool,
    /// Set if unsampled spans are recorded too, for a decision at the end of their trace.
    pub(crate) records_all: bool,
}

impl LiveSampler {
    /// Decides about a span below this parent, which may be invalid.
    pub(crate) fn decide(&self, parent: &SpanContext) -> Decision {
        let root = new_root(parent);
        if self.samples(parent, root.unwrap_or(parent.trace_id())) {
            Decision::Sampled(root.map(Decided::Root))
        } else {
            Decision::NotSampled(ids(parent, root, false))
        }
    }

    /// Decides about a span whose ids are needed at once: its sampled flag has the decision.
    #[cfg(feature = "http")]
    pub(crate) fn ids(&self, parent: &SpanContext) -> SpanContext {
        let root = new_root(parent);
        let is_sampled = self.samples(parent, root.unwrap_or(parent.trace_id()));
        ids(parent, root, is_sampled)
    }

    /// Reports whether an unsampled span of this kind is recorded: for a decision at its end, or, for requests and
    /// messages, for the ring of recent traces.
    #[inline]
    pub(crate) fn records(&self, kind: &SpanKind) -> bool {
        self.records_all || matches!(kind, SpanKind::Server | SpanKind::Consumer)
    }

    /// Returns the decision of the parent or of the ratio. The ratio
    /// uses only the trace id, so that other services decide the same.
    fn samples(&self, parent: &SpanContext, trace_id: TraceId) -> bool {
        if self.parent_based && parent.is_valid() {
            parent.is_sampled()
        } else {
            samples(self.ratio.get(), trace_id)
        }
    }
}

/// Returns the id of a new trace; `None` if the parent is valid and has a trace.
fn new_root(parent: &SpanContext) -> Option<TraceId> {
    (!parent.is_valid()).then(|| RandomIdGenerator::default().new_trace_id())
}

/// Returns the ids of a span that is the root of this trace, or, without `root`, a child of its parent.
fn ids(parent: &SpanContext, root: Option<TraceId>, is_sampled: bool) -> SpanContext {
    let (trace_id, flags, state) = match root {
        Some(trace_id) => (trace_id, TraceFlags::default(), TraceState::NONE),
        None => (
            parent.trace_id(),
            parent.trace_flags(),
            parent.trace_state().clone(),
        ),
    };
    let span_id = RandomIdGenerator::default().new_span_id();
    let flags = flags.with_sampled(is_sampled);
    SpanContext::new(trace_id, span_id, flags, false, state)
}

fn samples(ratio: f64, trace_id: TraceId) -> bool {
    let [.., a, b, c, d, e, f, g, h] = trace_id.to_bytes();
    let random = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
    ratio >= 1.0 || random < (ratio.max(0.0) * (1_u64 << 63) as f64) as u64
}

impl ShouldSample for LiveSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        _: &str,
        kind: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let decided = DECIDED.try_with(Cell::get).ok().flatten();
        if let Some(Decided::Root(_)) = decided {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::NONE,
            };
        }
        let span = parent.map(TraceContextExt::span);
        let parent = span
            .as_ref()
            .map_or(&SpanContext::NONE, |span| span.span_context());
        let decision = match DECIDED.try_with(Cell::get) {
            Ok(Some(Decided::Whole { is_sampled, .. })) => match is_sampled {
                true => SamplingDecision::RecordAndSample,
                false => SamplingDecision::RecordOnly,
            },
            _ if self.samples(parent, trace_id) => SamplingDecision::RecordAndSample,
            _ if self.records(kind) => SamplingDecision::RecordOnly,
            _ => SamplingDecision::Drop,
        };
        SamplingResult {
            decision,
            attributes: Vec::new(),
            trace_state: parent.trace_state().clone(),
        }
    }
}

/// Decision about the span that the SDK creates next on this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decided {
    /// The root of this trace, sampled by the trace's id.
    Root(TraceId),
    /// A recorded span with these ids, sampled or not.
    Whole {
        trace_id: TraceId,
        span_id: SpanId,
        is_sampled: bool,
    },
}

impl Decided {
    pub(crate) fn whole(ids: &SpanContext) -> Self {
        Self::Whole {
            trace_id: ids.trace_id(),
            span_id: ids.span_id(),
            is_sampled: ids.is_sampled(),
        }
    }
}

thread_local! {
    static DECIDED: Cell<Option<Decided>> = const { Cell::new(None) };
}

/// Creates a span of the SDK with this decision; without one the SDK asks its sampler.
#[inline]
pub(crate) fn with_decision<S>(decided: Option<Decided>, build: impl FnOnce() -> S) -> S {
    let _ = DECIDED.try_with(|next| next.set(decided));
    let span = build();
    let _ = DECIDED.try_with(|next| next.set(None));
    span
}

/// Generates random ids, except for ids that were decided already.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        match DECIDED.try_with(Cell::get) {
            Ok(Some(Decided::Root(trace_id) | Decided::Whole { trace_id, .. })) => trace_id,
            _ => self.0.new_trace_id(),
        }
    }

    fn new_span_id(&self) -> SpanId {
        match DECIDED.try_with(Cell::get) {
            Ok(Some(Decided::Whole { span_id, .. })) => span_id,
            _ => self.0.new_span_id(),
        }
    }
}

/// Share of new traces that is sampled.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Sampling {
    /// Share of new traces that is sampled now, from 0 to 1.
    pub ratio: f64,
    /// Configured share, which applies again after a change.
    pub configured: f64,
    /// Time until a change ends; `None` without a change.
    pub remaining: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::Sampler;

    use super::*;

    fn context(id: TraceId, flags: u8, is_remote: bool) -> SpanContext {
        let state = TraceState::from_key_value([("vendor", "x")]).unwrap();
        SpanContext::new(
            id,
            SpanId::from(7),
            TraceFlags::new(flags),
            is_remote,
            state,
        )
    }

    /// Returns every kind of parent, including no parent.
    fn parents(id: TraceId) -> impl Iterator<Item = Option<Context>> {
        let known = [(0, false), (1, false), (0, true), (1, true), (3, true)];
        let known = known.map(|(flags, is_remote)| context(id, flags, is_remote));
        let spans = known.into_iter().chain([SpanContext::NONE]);
        let contexts = spans.map(|span| Some(Context::new().with_remote_span_context(span)));
        contexts.chain([None, Some(Context::new())])
    }

    #[test]
    fn it_decides_as_the_sdk_does() {
        let ids = RandomIdGenerator::default();
        let (name, kind) = ("", SpanKind::Internal);
        for ratio in [-1.0, 0.0, 1e-9, 0.1, 0.5, 0.999_999, 1.0, 2.0] {
            for parent_based in [false, true] {
                let ours = LiveSampler {
                    ratio: LiveRatio::new(ratio),
                    parent_based,
                    records_all: false,
                };
                let by_ratio = Sampler::TraceIdRatioBased(ratio);
                let theirs: Box<dyn ShouldSample> = match parent_based {
                    true => Box::new(Sampler::parent_based(by_ratio)),
                    false => Box::new(by_ratio),
                };
                for _ in 0..500 {
                    let id = ids.new_trace_id();
                    for parent in parents(id) {
                        let of = |sampler: &dyn ShouldSample| {
                            sampler.should_sample(parent.as_ref(), id, name, &kind, &[], &[])
                        };
                        let (ours, theirs) = (of(&ours), of(&*theirs));
                        assert_eq!(ours.decision, theirs.decision, "{ratio} {id} {parent:?}");
                        assert_eq!(ours.trace_state, theirs.trace_state, "{ratio} {parent:?}");
                    }
                }
            }
        }
    }
}
