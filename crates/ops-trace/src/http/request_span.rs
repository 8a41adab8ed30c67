//! The span of a request. It consists of ids, a start and the request's head until something is
//! recorded on it: the exported span is built from these when the request ends, and only if it is
//! needed. An SDK span is created only if something is recorded.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{
    Span as SdkSpan, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use ops_http::{Outcome, Route};
use parking_lot::Mutex;

use super::describe::{self, UNNAMED, named};
use super::head::Head;
use super::shape_key::ShapeKey;
use crate::Handle;
use crate::brief::Brief;
use crate::export::ended::{self, EndedSpan};
use crate::sampling::{self, Decided};

/// Span of a request: one clone is in the context, where handlers find it, and one belongs to the observer.
#[derive(Clone)]
pub(super) struct RequestSpan(Arc<Request>);

struct Request {
    handle: Handle,
    ids: SpanContext,
    start: SystemTime,
    state: Mutex<State>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "most spans stay deferred, and a box would be one more allocation"
)]
enum State {
    /// Nothing was recorded on it.
    Deferred(DeferredSpan),
    Recording(Box<SdkSpan>),
    Ended,
}

/// Data from which the span is built. It is dropped with the request, even if the context is held for longer.
struct DeferredSpan {
    parent: Context,
    head: Head,
}

impl fmt::Debug for RequestSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = &self.0.ids;
        f.debug_tuple("RequestSpan").field(ids).finish()
    }
}

impl RequestSpan {
    pub(super) fn new(
        handle: &Handle,
        parent: &Context,
        ids: SpanContext,
        head: Head,
        start: SystemTime,
    ) -> Self {
        let parent = parent.clone();
        Self(Arc::new(Request {
            handle: handle.clone(),
            ids,
            start,
            state: Mutex::new(State::Deferred(DeferredSpan { parent, head })),
        }))
    }

    /// Ends the span with its request if nothing was recorded on it;
    /// returns false if something was, or the span has ended before.
    pub(super) fn end_deferred(&self, outcome: &Outcome) -> bool {
        let request = &*self.0;
        let mut state = request.state.lock();
        if !matches!(*state, State::Deferred(_)) || outcome.grpc.is_some() {
            return false;
        }
        let has_failed = outcome.is_server_error() || outcome.error_type().is_some();
        let is_discarded = !has_failed && request.try_discard(outcome.elapsed);
        if is_discarded && !ended::has_hook() {
            *state = State::Ended; // overwritten, not moved: it is large
            return true;
        }
        let before = std::mem::replace(&mut *state, State::Ended);
        // released first: a span end hook must not wait for the lock
        drop(state);
        match before {
            State::Deferred(deferred) if is_discarded => {
                request.call_hook(&deferred, outcome.route.as_ref(), outcome.elapsed);
            }
            State::Deferred(deferred) if request.ids.is_sampled() && !has_failed => {
                request.end_as_brief(&deferred, outcome);
            }
            State::Deferred(deferred) => {
                let limiter = request.handle.limiter();
                limiter.on_end(request.span_data(&deferred, outcome));
            }
            State::Recording(_) | State::Ended => {}
        }
        true
    }

    /// Records something on the span, unless it has ended.
    fn record(&self, set: impl FnOnce(&mut SdkSpan)) {
        let mut state = self.0.state.lock();
        if let State::Deferred(deferred) = &*state
            && let Some(span) = self.0.sdk_span(deferred)
        {
            *state = State::Recording(Box::new(span));
        }
        if let State::Recording(span) = &mut *state {
            set(span);
        }
    }
}

impl Request {
    /// Creates the SDK span, with the attributes it would have had from the start.
    fn sdk_span(&self, deferred: &DeferredSpan) -> Option<SdkSpan> {
        let tracer = self.handle.tracer()?;
        let builder = deferred.head.builder(self.start);
        let build = || tracer.build_with_context(builder, &deferred.parent);
        Some(sampling::with_decision(
            Some(Decided::whole(&self.ids)),
            build,
        ))
    }

    /// Returns the exported span of a request that has ended and on which nothing was recorded.
    fn span_data(&self, deferred: &DeferredSpan, outcome: &Outcome) -> SpanData {
        let DeferredSpan { parent, head } = deferred;
        let parent = parent.span();
        let parent = parent.span_context();
        let route = outcome.route.as_ref().or(head.route.as_ref());
        let mut attributes = head.attributes();
        if let Some(route) = outcome
            .route
            .as_ref()
            .filter(|_| outcome.route != head.route)
        {
            attributes.push(describe::http_route(route));
        }
        let has_failed = describe::ended(outcome, &mut |attribute| attributes.push(attribute));
        let mut links = SpanLinks::default();
        match head.links() {
            Some(link) if self.handle.limiter().state.limits.links > 0 => links.links = link,
            Some(_) => links.dropped_count = 1,
            None => {}
        }
        SpanData {
            span_context: self.ids.clone(),
            parent_span_id: parent.span_id(),
            parent_span_is_remote: parent.is_valid() && parent.is_remote(),
            span_kind: SpanKind::Server,
            name: head.name(route),
            start_time: self.start,
            end_time: super::end(self.start, outcome),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: if has_failed {
                Status::error("")
            } else {
                Status::Unset
            },
            instrumentation_scope: self.handle.scope().clone(),
        }
    }

    /// Ends a span as most sampled requests do: as a brief span, unless it has unusual attributes.
    fn end_as_brief(&self, deferred: &DeferredSpan, outcome: &Outcome) {
        let DeferredSpan { parent, head } = deferred;
        let limiter = self.handle.limiter();
        let Some(key) = ShapeKey::of(head, outcome) else {
            return limiter.on_end(self.span_data(deferred, outcome));
        };
        if ended::has_hook() {
            self.call_hook(deferred, outcome.route.as_ref(), outcome.elapsed);
        }
        let shape = key.shape(|| self.span_data(deferred, outcome));
        let parent = parent.span();
        let parent = parent.span_context();
        let brief = Brief {
            shape,
            ids: self.ids.clone(),
            parent: parent.span_id(),
            parent_is_remote: parent.is_valid() && parent.is_remote(),
            start: self.start,
            end: super::end(self.start, outcome),
        };
        let (path, query) = (describe::path(&head.uri), describe::query(&head.uri));
        limiter.end_brief(brief, [&path, query.as_deref().unwrap_or_default()]);
    }

    /// Discards a request that did not fail; returns false if it is needed.
    fn try_discard(&self, took: Duration) -> bool {
        !self.ids.is_sampled() && self.handle.limiter().try_discard(&self.ids, took)
    }

    /// Calls the span end hook, as for an SDK span.
    fn call_hook(&self, deferred: &DeferredSpan, route: Option<&Route>, took: Duration) {
        let DeferredSpan { parent, head } = deferred;
        let route = route.or(head.route.as_ref());
        let name = route.map(|route| named(&head.method, route));
        let parent = parent.span().span_context().span_id();
        ended::call_hook(&EndedSpan {
            name: name.as_deref().unwrap_or(UNNAMED),
            trace_id: self.ids.trace_id().to_bytes(),
            span_id: self.ids.span_id().to_bytes(),
            parent_span_id: (parent != SpanId::INVALID).then(|| parent.to_bytes()),
            kind: "server",
            is_sampled: self.ids.is_sampled(),
            at: self.start + took,
            duration: took,
            is_error: false,
        });
    }
}

/// Ends a span that was never ended when its last clone is dropped, as the SDK does.
impl Drop for Request {
    fn drop(&mut self) {
        if !matches!(self.state.get_mut(), State::Deferred(_)) {
            return;
        }
        let before = std::mem::replace(self.state.get_mut(), State::Ended);
        let State::Deferred(deferred) = before else {
            return;
        };
        let took = self.start.elapsed().unwrap_or_default();
        if !self.try_discard(took) {
            drop(self.sdk_span(&deferred));
        } else if ended::has_hook() {
            self.call_hook(&deferred, None, took);
        }
    }
}

impl Span for RequestSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, at: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        self.record(|span| span.add_event_with_timestamp(name, at, attributes));
    }

    fn span_context(&self) -> &SpanContext {
        &self.0.ids
    }

    fn is_recording(&self) -> bool {
        !matches!(*self.0.state.lock(), State::Ended)
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        self.record(|span| span.set_attribute(attribute));
    }

    fn set_status(&mut self, status: Status) {
        self.record(|span| span.set_status(status));
    }

    fn update_name<T>(&mut self, name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        self.record(|span| span.update_name(name));
    }

    fn add_link(&mut self, span: SpanContext, attributes: Vec<KeyValue>) {
        self.record(|sdk_span| sdk_span.add_link(span, attributes));
    }

    fn end_with_timestamp(&mut self, at: SystemTime) {
        self.record(|_| {});
        // released first: a span end hook must not wait for the lock
        let ended = std::mem::replace(&mut *self.0.state.lock(), State::Ended);
        if let State::Recording(mut span) = ended {
            span.end_with_timestamp(at);
        }
    }
}
