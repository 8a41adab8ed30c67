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

/// Decision about a span before any of it is made.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is sampled, below its parent or as the root of a trace.
    Sampled(Option<Decided>),
    /// It is not; these are its ids.
    NotSampled(SpanContext),
}

/// Decides as the SDK's samplers of the same names do, for our own spans before they are made, and for those that libraries
/// make by the SDK.
#[derive(Clone, Debug)]
pub(crate) struct LiveSampler {
    pub(crate) ratio: LiveRatio,
    /// The sampled flag of a parent decides.
    pub(crate) parent_based: bool,
    /// What is not sampled is recorded all the same, for a decision at its end.
    pub(crate) records_all: bool,
}

impl LiveSampler {
    /// Decides about a span below this parent, which need not be valid.
    pub(crate) fn decide(&self, parent: &SpanContext) -> Decision {
        let root = new_root(parent);
        if self.samples(parent, root.unwrap_or(parent.trace_id())) {
            Decision::Sampled(root.map(Decided::Root))
        } else {
            Decision::NotSampled(ids(parent, root, false))
        }
    }

    /// Decides about a span whose ids are needed at once: they say whether it is sampled.
    #[cfg(feature = "http")]
    pub(crate) fn ids(&self, parent: &SpanContext) -> SpanContext {
        let root = new_root(parent);
        let is_sampled = self.samples(parent, root.unwrap_or(parent.trace_id()));
        ids(parent, root, is_sampled)
    }

    /// Reports whether a span of this kind is recorded though it is not sampled: for a decision at its end, and requests for the
    /// ring of recent traces.
    #[inline]
    pub(crate) fn records(&self, kind: &SpanKind) -> bool {
        self.records_all || matches!(kind, SpanKind::Server | SpanKind::Consumer)
    }

    /// The ratio decides by nothing but the trace id, so that other services come to the same.
    fn samples(&self, parent: &SpanContext, trace_id: TraceId) -> bool {
        if self.parent_based && parent.is_valid() {
            parent.is_sampled()
        } else {
            samples(self.ratio.get(), trace_id)
        }
    }
}

/// The id of the trace that begins with a span below this parent; `None` if that has one.
fn new_root(parent: &SpanContext) -> Option<TraceId> {
    (!parent.is_valid()).then(|| RandomIdGenerator::default().new_trace_id())
}

/// Ids of a span that begins this trace, or else one below its parent.
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

/// What was decided about the span that the SDK makes on this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decided {
    /// It begins this trace, by whose id it is sampled.
    Root(TraceId),
    /// It has these ids and is recorded, sampled or not.
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

/// Makes a span of the SDK about which this was decided; of the rest its sampler decides.
#[inline]
pub(crate) fn decided<S>(decided: Option<Decided>, build: impl FnOnce() -> S) -> S {
    let _ = DECIDED.try_with(|next| next.set(decided));
    let span = build();
    let _ = DECIDED.try_with(|next| next.set(None));
    span
}

/// Random ids, unless they were decided about already.
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

    /// Every kind of a parent, none among them.
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
