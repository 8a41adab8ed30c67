use std::borrow::Cow;
use std::future::Future;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanBuilder, Status, TraceContextExt, Tracer as _};
use opentelemetry::{Context, ContextGuard, KeyValue};

use crate::context::{Instrumented, with_context};
use crate::tracer::installed;
use crate::value::Value;

const MAX_NAME_BYTES: usize = 200;

/// A span with attributes: `span!("query_database", table = "users")`.
#[macro_export]
macro_rules! span {
    ($name:expr $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::create_span($name, [$((stringify!($key), $crate::Value::from($value))),*])
    };
}

/// A span below the current one. It is not current itself until [`enter`](Span::enter)ed, and ends on drop.
///
/// Before [`init`](crate::init) it costs next to nothing and does nothing.
pub fn create_span(
    name: impl Into<Cow<'static, str>>,
    attributes: impl IntoIterator<Item = (&'static str, Value)>,
) -> Span {
    let Some(installed) = installed() else {
        return Span::new(Context::current(), true);
    };
    let builder = SpanBuilder::from_name(name_of(name.into()))
        .with_attributes(attributes.into_iter().map(|(k, v)| key_value(k.into(), v)));
    let current = Context::current();
    let span = installed.tracer.build_with_context(builder, &current);
    Span::new(current.with_span(span), false)
}

/// Work that runs: it ends on drop, as an error when that drop is a panic's.
#[must_use = "a span that is dropped at once measures nothing"]
#[derive(Debug)]
pub struct Span {
    context: Context,
    /// Made before `init`: the context is then somebody else's.
    none: bool,
    panicking: bool,
}

impl Span {
    fn new(context: Context, none: bool) -> Self {
        Self {
            context,
            none,
            panicking: std::thread::panicking(),
        }
    }

    /// Makes it the current span of this thread, until the guard is dropped.
    pub fn enter(&self) -> Entered {
        Entered {
            _guard: self.context.clone().attach(),
        }
    }

    /// Runs this with the span as the current one, and ends it.
    pub fn in_scope<R>(self, work: impl FnOnce(&Self) -> R) -> R {
        let _entered = self.enter();
        work(&self)
    }

    /// Makes it the current span whenever this future runs, and ends it with the future.
    pub fn instrument<F: Future>(self, future: F) -> Instrumented<F> {
        with_context(self.context.clone(), future, Some(self))
    }

    /// Adds an attribute; of one key the last value holds. An empty key is ignored.
    pub fn set_attribute(&self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let key = key.into();
        if !key.is_empty() && !self.none {
            let attribute = key_value(key, value.into());
            self.context.span().set_attribute(attribute);
        }
    }

    /// Marks it as failed, with the kind of the error as `error.type`.
    pub fn set_error(&self, kind: impl Into<Cow<'static, str>>) {
        if !self.none {
            fail(&self.context, kind.into());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.none {
            return;
        }
        if !self.panicking && std::thread::panicking() {
            fail(&self.context, "panic".into());
        }
        self.context.span().end();
    }
}

/// The span is current on this thread until this is dropped.
#[must_use = "the span is current only while this lives"]
#[derive(Debug)]
pub struct Entered {
    _guard: ContextGuard,
}

/// A span that is over already, for what is known only afterwards: it becomes a child of the current span.
#[must_use = "nothing is recorded until `record` is called"]
pub fn completed_span(
    name: impl Into<Cow<'static, str>>,
    start: SystemTime,
    duration: Duration,
) -> CompletedSpan {
    CompletedSpan {
        name: name.into(),
        start,
        duration,
        attributes: Vec::new(),
        error: None,
    }
}

/// Made by [`completed_span`].
#[derive(Debug)]
pub struct CompletedSpan {
    name: Cow<'static, str>,
    start: SystemTime,
    duration: Duration,
    attributes: Vec<(Cow<'static, str>, Value)>,
    error: Option<Cow<'static, str>>,
}

impl CompletedSpan {
    /// Adds an attribute.
    pub fn attribute(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }

    /// Marks it as failed, with the kind of the error as `error.type`.
    pub fn error(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.error = Some(kind.into());
        self
    }

    /// Hands it over.
    pub fn record(self) {
        let Some(installed) = installed() else {
            return;
        };
        let attributes = self.attributes.into_iter().map(|(k, v)| key_value(k, v));
        let builder = SpanBuilder::from_name(name_of(self.name))
            .with_start_time(self.start)
            .with_attributes(attributes);
        let current = Context::current();
        let span = installed.tracer.build_with_context(builder, &current);
        let context = current.with_span(span);
        if let Some(kind) = self.error {
            fail(&context, kind);
        }
        context
            .span()
            .end_with_timestamp(self.start + self.duration);
    }
}

pub(crate) fn fail(context: &Context, kind: Cow<'static, str>) {
    let span = context.span();
    span.set_status(Status::error(""));
    span.set_attribute(key_value("error.type".into(), Value::from(&*kind)));
}

pub(crate) fn key_value(key: Cow<'static, str>, value: Value) -> KeyValue {
    let value = value.into_otel(&key);
    KeyValue::new(key, value)
}

fn name_of(name: Cow<'static, str>) -> Cow<'static, str> {
    if name.is_empty() {
        return "unnamed".into();
    }
    if name.len() <= MAX_NAME_BYTES {
        return name;
    }
    let mut name = name.into_owned();
    name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
    name.into()
}
