use std::cell::RefCell;
use std::time::SystemTime;

use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, ContextGuard};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::fields::{EventFields, SpanFields, kind_of};
use super::filter::is_returned_error;
use crate::propagation::with_span;
use crate::sampling::{self, Decided, Decision};
use crate::span::fail;
use crate::{Handle, global};

/// Creates a span of this crate for each `tracing` span, and makes it current whenever the `tracing` span is entered.
pub(super) struct SpanLayer {
    /// `None` for the global handle, once there is one.
    handle: Option<Handle>,
    events: bool,
}

/// Span of this crate that belongs to a `tracing` span.
struct OurSpan {
    context: Context,
    is_recording: bool,
    /// Time at which the span was exited last.
    left: Option<SystemTime>,
}

impl OurSpan {
    fn not_recording(context: Context) -> Self {
        Self {
            context,
            is_recording: false,
            left: None,
        }
    }
}

/// A span that is entered on this thread.
struct EnteredSpan {
    id: Id,
    is_recording: bool,
    panicking: bool,
    _guard: ContextGuard,
}

thread_local! {
    static ENTERED: RefCell<Vec<EnteredSpan>> = const { RefCell::new(Vec::new()) };
}

impl SpanLayer {
    pub(super) fn new(handle: Option<Handle>, events: bool) -> Self {
        Self { handle, events }
    }

    fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref().or_else(|| global())
    }
}

/// Calls the function with the parent of a new span. The function must not run foreign code, which may enter spans.
fn with_parent<T>(parent: Option<&Context>, work: impl FnOnce(&Context) -> T) -> T {
    match parent {
        Some(parent) => work(parent),
        None => Context::map_current(work),
    }
}

/// Starts a span; without `parent` its parent is the current context.
fn start(
    handle: &Handle,
    attributes: &Attributes<'_>,
    parent: Option<&Context>,
) -> Option<OurSpan> {
    let tracer = handle.tracer()?;
    let metadata = attributes.metadata();
    let kind = kind_of(attributes);
    let mut root = None;
    if handle.children_follow() && !matches!(kind, Some(SpanKind::Server | SpanKind::Consumer)) {
        match with_parent(parent, |parent| decide(handle, parent)) {
            Ok(of_root) => root = of_root,
            Err(context) => return Some(OurSpan::not_recording(context)),
        }
    }
    let mut builder = SpanBuilder::from_name(metadata.name());
    builder.span_kind = kind;
    let build = |parent: &Context| tracer.build_with_context(builder, parent);
    let mut span = sampling::with_decision(root, || with_parent(parent, build));
    let is_recording = span.is_recording();
    if is_recording {
        SpanFields::new(&mut span, metadata).take(attributes);
    }
    let context = with_parent(parent, |parent| match span.span_context().is_valid() {
        true => with_span(parent, span),
        false => parent.clone(), // telemetry of the telemetry itself
    });
    Some(OurSpan {
        context,
        is_recording,
        left: None,
    })
}

/// Returns the decision about a span that may be recorded, or, as the error, the context of a span that is neither
/// sampled nor recorded: below another such span, whose ids it shares, or as the root of a trace.
fn decide(handle: &Handle, parent: &Context) -> Result<Option<Decided>, Context> {
    let span = parent.span();
    let ids = span.span_context();
    if ids.is_valid() {
        let follows = !ids.is_sampled() && !span.is_recording();
        return if follows {
            Err(parent.clone())
        } else {
            Ok(None)
        };
    }
    if parent.is_telemetry_suppressed() {
        return Ok(None);
    }
    match handle.sampler().decide(ids) {
        Decision::Sampled(root) => Ok(root),
        Decision::NotSampled(ids) => Err(parent.with_remote_span_context(ids)),
    }
}

fn context_of<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<Context> {
    let extensions = span.extensions();
    extensions.get::<OurSpan>().map(|ours| ours.context.clone())
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, spans: LayerContext<'_, S>) {
        let (Some(handle), Some(span)) = (self.handle(), spans.span(id)) else {
            return;
        };
        let parent = match attributes.parent() {
            Some(parent) => {
                let known = spans.span(parent).and_then(|parent| context_of(&parent));
                Some(known.unwrap_or_default())
            }
            None if attributes.is_contextual() => None,
            None => Some(Context::new()),
        };
        if let Some(ours) = start(handle, attributes, parent.as_ref()) {
            span.extensions_mut().insert(ours);
        }
    }

    fn on_enter(&self, id: &Id, spans: LayerContext<'_, S>) {
        let Some(span) = spans.span(id) else { return };
        let extensions = span.extensions();
        let Some(ours) = extensions.get::<OurSpan>() else {
            return;
        };
        let (context, is_recording) = (ours.context.clone(), ours.is_recording);
        drop(extensions);
        let entered = EnteredSpan {
            id: id.clone(),
            is_recording,
            panicking: std::thread::panicking(),
            _guard: context.attach(),
        };
        // a thread that is ending has no current span
        let _ = ENTERED.try_with(|stack| stack.borrow_mut().push(entered));
    }

    fn on_exit(&self, id: &Id, spans: LayerContext<'_, S>) {
        let popped = ENTERED.try_with(|stack| {
            let mut stack = stack.borrow_mut();
            let at = stack.iter().rposition(|entered| entered.id == *id)?;
            Some(stack.remove(at))
        });
        let Ok(Some(entered)) = popped else { return };
        if !entered.is_recording {
            return;
        }
        let Some(span) = spans.span(id) else { return };
        let panicked = !entered.panicking && std::thread::panicking();
        let mut extensions = span.extensions_mut();
        let Some(ours) = extensions.get_mut::<OurSpan>() else {
            return;
        };
        ours.left = Some(opentelemetry::time::now());
        if panicked {
            fail(&ours.context, "panic".into());
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, spans: LayerContext<'_, S>) {
        let Some(span) = spans.span(id) else { return };
        let recording = {
            let extensions = span.extensions();
            let ours = extensions.get::<OurSpan>();
            ours.filter(|ours| ours.is_recording)
                .map(|ours| ours.context.clone())
        };
        if let Some(context) = recording {
            SpanFields::new(&mut context.span(), span.metadata()).take_later(values);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, spans: LayerContext<'_, S>) {
        let of = |id| spans.span(id).and_then(|span| context_of(&span));
        if let (Some(context), Some(before)) = (of(id), of(follows)) {
            let ids = before.span().span_context().clone();
            context.span().add_link(ids, Vec::new());
        }
    }

    fn on_event(&self, event: &Event<'_>, spans: LayerContext<'_, S>) {
        let context = match event.parent() {
            Some(parent) => spans.span(parent).and_then(|span| context_of(&span)),
            None if event.is_contextual() => Some(Context::current()),
            None => None,
        };
        let Some(context) = context.filter(|context| context.span().is_recording()) else {
            return;
        };
        let is_error = is_returned_error(event.metadata());
        EventFields::new(event).add_to(&context, is_error, self.events);
    }

    fn on_close(&self, id: Id, spans: LayerContext<'_, S>) {
        let Some(span) = spans.span(&id) else { return };
        let ours = span.extensions_mut().remove::<OurSpan>();
        let Some(ours) = ours.filter(|ours| ours.is_recording) else {
            return;
        };
        let ended = ours.left.unwrap_or_else(opentelemetry::time::now);
        ours.context.span().end_with_timestamp(ended);
    }
}
