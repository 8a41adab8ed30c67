use std::borrow::Cow;
use std::future::Future;
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, ContextGuard, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use crate::Handle;
use crate::SpanIds;
use crate::context::{Instrumented, instrumented};
use crate::current::ids_of;
use crate::limits::{DESCRIPTION, ERROR_TYPE, MAX_CAUSES};
use crate::options::{SpanOptions, linked, links};
use crate::propagation::with_span;
use crate::sampling::{self, Decided, Decision};
use crate::value::Value;

const MAX_NAME_BYTES: usize = 200;

/// Number of attributes for which a span reserves room at its start.
const USUAL_ATTRIBUTES: usize = 4;

/// A span that is being created; [`span!`](crate::span!) expands to it.
#[doc(hidden)]
#[derive(Debug)]
pub struct SpanStart<'a>(Starting<'a>);

#[derive(Debug)]
enum Starting<'a> {
    Disabled,
    Recorded(Recorded<'a>),
    /// Context of a span that has only ids.
    NotRecorded(Context),
}

/// Everything a span is made of. A span of the SDK is a large value, so it is created once everything is known.
#[derive(Debug)]
struct Recorded<'a> {
    tracer: &'a SdkTracer,
    decided: Option<Decided>,
    builder: SpanBuilder,
}

impl<'a> SpanStart<'a> {
    #[inline]
    pub fn new(handle: Option<&'a Handle>, name: impl Into<Cow<'static, str>>) -> Self {
        Self::begun(handle, name.into(), SpanKind::Internal, None)
    }

    /// Begins a span with a kind and links.
    pub fn with_options(
        handle: Option<&'a Handle>,
        name: impl Into<Cow<'static, str>>,
        options: SpanOptions,
    ) -> Self {
        let kind = options.kind.into_otel();
        Self::begun(handle, name.into(), kind, links(options.links))
    }

    fn begun(
        handle: Option<&'a Handle>,
        name: Cow<'static, str>,
        kind: SpanKind,
        links: Option<Vec<Link>>,
    ) -> Self {
        let Some(handle) = handle else {
            return Self(Starting::Disabled);
        };
        let Some(tracer) = handle.tracer() else {
            return Self(Starting::Disabled);
        };
        let decided = match begin(handle, &kind) {
            Ok(decided) => decided,
            Err(context) => return Self(Starting::NotRecorded(context)),
        };
        Self(Starting::Recorded(Recorded {
            tracer,
            decided,
            builder: SpanBuilder {
                name: name_of(name),
                span_kind: Some(kind),
                start_time: Some(SystemTime::now()),
                attributes: None,
                links,
                events: None,
            },
        }))
    }

    pub fn is_recording(&self) -> bool {
        matches!(self.0, Starting::Recorded(_))
    }

    /// Reports whether attributes are recorded, and reserves room for some.
    #[inline]
    pub fn takes_attributes(&mut self) -> bool {
        let Starting::Recorded(recorded) = &mut self.0 else {
            return false;
        };
        recorded.builder.attributes = Some(Vec::with_capacity(USUAL_ATTRIBUTES));
        true
    }

    // inlined, so that a literal is written directly to its final place
    #[inline(always)]
    pub fn attribute(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Starting::Recorded(recorded) = &mut self.0
            && !key.is_empty()
        {
            let value = value.into().into_otel();
            let attributes = recorded.builder.attributes.get_or_insert_default();
            attributes.push(KeyValue::new(key, value));
        }
    }

    pub(crate) fn with(
        mut self,
        attributes: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Span {
        if self.is_recording() {
            for (key, value) in attributes {
                self.attribute(key, value);
            }
        }
        self.span()
    }

    #[inline]
    pub fn span(self) -> Span {
        Span {
            context: match self.0 {
                Starting::Disabled => None,
                Starting::Recorded(recorded) => Some(recorded.build()),
                Starting::NotRecorded(context) => Some(context),
            },
            panicking: std::thread::panicking(),
        }
    }
}

/// Returns the decision about a span that is recorded, or the context of a span that is not.
fn begin(handle: &Handle, kind: &SpanKind) -> Result<Option<Decided>, Context> {
    let sampler = handle.sampler();
    Context::map_current(|current| {
        if current.is_telemetry_suppressed() {
            return Err(current.with_remote_span_context(SpanContext::NONE));
        }
        match sampler.decide(current.span().span_context()) {
            Decision::Sampled(decided) => Ok(decided),
            Decision::NotSampled(ids) if sampler.records(kind) => Ok(Some(Decided::whole(&ids))),
            Decision::NotSampled(ids) => Err(current.with_remote_span_context(ids)),
        }
    })
}

impl Recorded<'_> {
    /// Creates the span and the context in which it is current.
    fn build(self) -> Context {
        Context::map_current(|current| {
            let build = || self.tracer.build_with_context(self.builder, current);
            with_span(current, sampling::with_decision(self.decided, build))
        })
    }
}

impl Handle {
    /// Creates a child of the current span; see [`create_span`](crate::create_span).
    pub fn create_span(
        &self,
        name: impl Into<Cow<'static, str>>,
        attributes: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Span {
        SpanStart::new(Some(self), name).with(attributes)
    }
}

/// Span of running work. It ends on drop; if a panic unwinds through it, it ends as failed.
#[must_use = "a span that is dropped immediately measures nothing"]
#[derive(Debug)]
pub struct Span {
    /// `None` if tracing is off.
    context: Option<Context>,
    panicking: bool,
}

impl Span {
    /// Makes this span the current one of the thread until the guard is dropped.
    pub fn enter(&self) -> Entered {
        Entered {
            _guard: self.context.clone().map(Context::attach),
        }
    }

    /// Calls the function with the span as the current one, then ends the span.
    pub fn in_scope<R>(self, work: impl FnOnce(&Self) -> R) -> R {
        let _entered = self.enter();
        work(&self)
    }

    /// Makes this span the current one whenever the future runs, and ends it with the future.
    pub fn instrument<F: Future>(self, future: F) -> Instrumented<F> {
        let context = self.context.clone().unwrap_or_else(Context::current);
        instrumented(context, future, Some(self))
    }

    /// Adds an attribute; a later value of the same key wins. An empty key is ignored. A span takes 1,024 values;
    /// further ones are dropped and counted in the span, even if their key is set already.
    pub fn set_attribute(&self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        if let Some(context) = &self.context
            && let Some(attribute) = key_value(key, value)
        {
            context.span().set_attribute(attribute);
        }
    }

    /// Adds an event, a point in time inside the span: at most 128; further ones are dropped and counted in the span.
    pub fn add_event(
        &self,
        name: impl Into<Cow<'static, str>>,
        attributes: impl IntoIterator<Item = (&'static str, Value)>,
    ) {
        if let Some(context) = &self.context
            && context.span().is_recording()
        {
            let attributes = attributes.into_iter();
            let attributes = attributes.filter_map(|(key, value)| key_value(key, value));
            context.span().add_event(name, attributes.collect());
        }
    }

    /// Adds a link to another span, such as that of a message: at most 128. Links that are known at the start belong in
    /// [`span!`](crate::span!), where samplers see them.
    pub fn add_link(&self, to: SpanIds) {
        if let Some(context) = &self.context {
            let to = linked(to);
            if to.is_valid() {
                context.span().add_link(to, Vec::new());
            }
        }
    }

    /// Changes the name.
    pub fn set_name(&self, name: impl Into<Cow<'static, str>>) {
        if let Some(context) = &self.context {
            context.span().update_name(name_of(name.into()));
        }
    }

    /// Marks the span as successful: a later error does not change that. At
    /// export it has no `error.type`, even if that was set as an attribute.
    pub fn set_ok(&self) {
        if let Some(context) = &self.context {
            context.span().set_status(Status::Ok);
        }
    }

    /// Adds an event `exception` with type, message and causes of an error, by OpenTelemetry's conventions. The status
    /// does not change; use [`set_error`](Self::set_error) for that.
    pub fn record_exception<E: std::error::Error + ?Sized>(&self, error: &E) {
        if !self.is_recording() {
            return;
        }
        let mut attributes = vec![
            ("exception.type", Value::from(std::any::type_name::<E>())),
            ("exception.message", Value::from(error.to_string())),
        ];
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause.filter(|_| causes.len() < MAX_CAUSES) {
            causes.push(format!("caused by: {error}"));
            cause = error.source();
        }
        if !causes.is_empty() {
            attributes.push(("exception.stacktrace", Value::from(causes.join("\n"))));
        }
        self.add_event("exception", attributes);
    }

    /// Returns the ids of the span, to link to it; `None` if tracing is off.
    pub fn ids(&self) -> Option<SpanIds> {
        let context = self.context.as_ref()?;
        ids_of(context.span().span_context())
    }

    /// Marks the span as failed, with the kind of the error as `error.type` and a description. The last call wins.
    pub fn set_error_with(
        &self,
        kind: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
    ) {
        if let Some(context) = &self.context {
            fail_with(context, kind.into(), description.into());
        }
    }

    /// Marks the span as failed, with the kind of the error as `error.type` and no description. The last call wins.
    pub fn set_error(&self, kind: impl Into<Cow<'static, str>>) {
        self.set_error_with(kind, "");
    }

    /// Returns true while attributes are recorded: the span is sampled or may be kept, and has not ended.
    pub fn is_recording(&self) -> bool {
        self.context
            .as_ref()
            .is_some_and(|context| context.span().is_recording())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(context) = &self.context else {
            return;
        };
        if !self.panicking && std::thread::panicking() {
            fail(context, "panic".into());
        }
        context.span().end();
    }
}

/// Guard of the current span: the span is current on this thread until the guard is dropped. The guard can neither
/// leave the thread nor be held across an `.await` of a task that may:
///
/// ```compile_fail,E0277
/// let entered = ops_trace::span!("a").enter();
/// std::thread::spawn(move || drop(entered));
/// ```
#[must_use = "the span is current only until the guard is dropped"]
#[derive(Debug)]
pub struct Entered {
    _guard: Option<ContextGuard>,
}

/// Marks the span of this context as failed; its description stays.
pub(crate) fn fail(context: &Context, kind: Cow<'static, str>) {
    let span = context.span();
    span.set_status(Status::error(""));
    span.set_attribute(KeyValue::new(ERROR_TYPE, kind));
}

pub(crate) fn fail_with(
    context: &Context,
    kind: Cow<'static, str>,
    description: Cow<'static, str>,
) {
    let span = context.span();
    let (status, description) = failure(description);
    span.set_status(status);
    span.set_attribute(KeyValue::new(ERROR_TYPE, kind));
    span.set_attribute(description);
}

/// Returns the status of a failure, and the attribute by which its description replaces earlier ones.
pub(crate) fn failure(description: Cow<'static, str>) -> (Status, KeyValue) {
    let attribute = KeyValue::new(DESCRIPTION, description.clone());
    (Status::error(description), attribute)
}

/// Returns an attribute; `None` for an empty key.
#[inline]
pub(crate) fn key_value(
    key: impl Into<Cow<'static, str>>,
    value: impl Into<Value>,
) -> Option<KeyValue> {
    let key = key.into();
    (!key.is_empty()).then(|| KeyValue::new(key, value.into().into_otel()))
}

/// Returns the name within its limit of 200 bytes, or `unnamed`. Control characters are replaced at export.
#[inline]
pub(crate) fn name_of(name: Cow<'static, str>) -> Cow<'static, str> {
    match name.len() {
        0 => "unnamed".into(),
        1..=MAX_NAME_BYTES => name,
        _ => {
            let end = name.floor_char_boundary(MAX_NAME_BYTES);
            name[..end].to_owned().into()
        }
    }
}
