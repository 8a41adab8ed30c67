use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::trace::SpanData;

use crate::recent::ring::{failed, took};

/// A span that has just ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EndedSpan<'a> {
    /// Name, before the filter for secrets.
    pub name: &'a str,
    /// Id of the trace.
    pub trace_id: [u8; 16],
    /// Id of the span.
    pub span_id: [u8; 8],
    /// End time.
    pub at: SystemTime,
    /// Id of the parent; `None` for the root of the trace.
    pub parent_span_id: Option<[u8; 8]>,
    /// Kind as in OpenTelemetry, in lower case: `server`.
    pub kind: &'static str,
    /// True if the span is sampled. It is exported, unless that is decided at the end of its trace.
    pub is_sampled: bool,
    /// Time from start to end.
    pub duration: Duration,
    /// True if it failed.
    pub is_error: bool,
}

type Hook = Box<dyn Fn(&EndedSpan<'_>) + Send + Sync>;

/// False in most processes, which then skip the hook.
static HAS_HOOK: AtomicBool = AtomicBool::new(false);
static HOOK: ArcSwapOption<Hook> = ArcSwapOption::const_empty();

/// Sets the function that is called with each recorded span as it ends, sampled or not, on the thread that ends it. It
/// must neither block nor create spans. Another call replaces the function.
pub fn set_span_end_hook(hook: impl Fn(&EndedSpan<'_>) + Send + Sync + 'static) {
    HOOK.store(Some(Arc::new(Box::new(hook))));
    HAS_HOOK.store(true, Relaxed);
}

#[inline]
pub(crate) fn has_hook() -> bool {
    HAS_HOOK.load(Relaxed)
}

pub(crate) fn call_hook(span: &EndedSpan<'_>) {
    let hook = HOOK.load();
    let Some(hook) = hook.as_ref() else { return };
    // a panic of the hook is ignored
    let _ = catch_unwind(AssertUnwindSafe(|| hook(span)));
}

impl<'a> EndedSpan<'a> {
    pub(super) fn of(span: &'a SpanData) -> Self {
        Self {
            name: &span.name,
            trace_id: span.span_context.trace_id().to_bytes(),
            span_id: span.span_context.span_id().to_bytes(),
            parent_span_id: (span.parent_span_id != SpanId::INVALID)
                .then(|| span.parent_span_id.to_bytes()),
            kind: kind(&span.span_kind),
            is_sampled: span.span_context.is_sampled(),
            at: span.end_time,
            duration: took(span),
            is_error: failed(span),
        }
    }
}

fn kind(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
    }
}
