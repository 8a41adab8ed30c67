use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use http::{Version, request, response};
use http_body::{Body, Frame};

use crate::call::Call;
use crate::client::Failure;
use crate::cut_off::in_cut_off;
use crate::length::BodyLength;
use crate::route::RouteSlot;
use crate::{Ending, Observe, Outcome, Route};

/// Request under observation. Calls [`Observe::end`] when dropped, at the latest.
pub(crate) struct RequestGuard<O: Observe> {
    observer: O,
    scope: Option<O::Scope>,
    started: Instant,
    /// Version of the request.
    version: Version,
    /// Set while code of the request runs, and left set if that code panics: unwinding skips the line that clears it.
    panicked: bool,
    length: BodyLength,
    /// Set once the last frame was handed over.
    has_ended: bool,
    /// Slot that [`RouteLayer`](crate::RouteLayer) fills; `None` if the route is known from the start.
    route_slot: Option<RouteSlot>,
    /// Kind of the client's error; `None` for a request that is served.
    failure: Option<Failure>,
    /// Set if the request is a gRPC call.
    call: Option<Box<Call>>,
    outcome: Outcome,
}

impl<O: Observe> RequestGuard<O> {
    pub(crate) fn start(observer: O, request: &mut request::Parts) -> Self {
        let started = Instant::now();
        let method = request.method.clone();
        let route = Route::get(&request.extensions);
        let mut outcome = Outcome::new(method, route, 0, Ending::Aborted, Duration::ZERO);
        let route_slot = outcome.route.is_none().then(|| {
            outcome.target = Some(Box::new(request.uri.clone()));
            RouteSlot::in_extensions(&mut request.extensions)
        });
        let call = Call::served(request);
        let scope = observer.start(request);
        Self {
            observer,
            scope: Some(scope),
            started,
            version: request.version,
            panicked: false,
            length: BodyLength::Unknown,
            has_ended: false,
            route_slot,
            failure: None,
            call,
            outcome,
        }
    }

    /// Starts the observation of an outgoing request, whose route no router will name.
    pub(crate) fn start_outgoing(
        observer: O,
        request: &mut request::Parts,
        failure: Failure,
    ) -> Self {
        let started = Instant::now();
        let route = Route::get(&request.extensions);
        let method = request.method.clone();
        let call = Call::sent(request);
        let scope = observer.start(request);
        Self {
            observer,
            scope: Some(scope),
            started,
            version: request.version,
            panicked: false,
            length: BodyLength::Unknown,
            has_ended: false,
            route_slot: None,
            failure: Some(failure),
            call,
            outcome: Outcome::new(method, route, 0, Ending::Aborted, Duration::ZERO),
        }
    }

    /// Runs code of the request in its scope.
    pub(crate) fn in_scope<T>(&mut self, part: impl FnOnce() -> T) -> T {
        let before = std::mem::replace(&mut self.panicked, true);
        let result = match self.scope.as_mut() {
            Some(scope) => {
                let _entered = self.observer.enter(scope);
                part()
            }
            None => part(),
        };
        self.panicked = before;
        result
    }

    /// Drops a part of the request in its scope, unless the request panicked before.
    pub(crate) fn drop_in_scope(&mut self, drop_part: impl FnOnce()) {
        if self.panicked {
            drop_part();
        } else {
            self.in_scope(drop_part);
        }
    }

    /// Records the head of the response.
    pub(crate) fn record_head(&mut self, parts: &mut response::Parts, body: &impl Body) {
        let method = &self.outcome.method;
        self.length = match self.failure {
            Some(_) => BodyLength::received(method, parts, body),
            None => BodyLength::served(self.version, method, parts, body),
        };
        self.has_ended = body.is_end_stream();
        self.outcome.streamed = self.length.is_streamed() && !self.has_ended;
        self.outcome.time_to_headers = Some(self.started.elapsed());
        let named = parts.extensions.get().cloned();
        if let Some(route) = named.or_else(|| self.route_slot.as_ref()?.get()) {
            self.outcome.route = Some(route);
        }
        if let Some(scope) = self.scope.as_mut() {
            let before = std::mem::replace(&mut self.panicked, true);
            self.observer.response(scope, parts);
            self.panicked = before;
        }
        if let Some(call) = self.call.as_mut() {
            call.head(parts);
        }
        self.outcome.sent_status = Some(parts.status.as_u16());
    }

    /// Counts a frame that the server takes; `is_last` if no further frame follows.
    pub(crate) fn count_frame<D: bytes::Buf>(&mut self, frame: &Frame<D>, is_last: bool) {
        if let Some(bytes) = frame.data_ref() {
            self.outcome.body_bytes += bytes.remaining() as u64;
        }
        if let (Some(call), Some(trailers)) = (self.call.as_mut(), frame.trailers_ref()) {
            call.trailers(trailers);
        }
        // nothing follows trailers, and the server does not poll further
        self.has_ended = is_last || frame.is_trailers();
    }

    /// Ends the request after the last frame of its body.
    pub(crate) fn body_ended(&mut self) {
        self.has_ended = true;
        self.finish(self.length.ending(self.outcome.body_bytes, true));
    }

    /// Reports the end to the observer, once.
    pub(crate) fn finish(&mut self, ending: Ending) {
        let Some(scope) = self.scope.take() else {
            return;
        };
        if self.outcome.route.is_none() {
            self.outcome.route = self.route_slot.as_ref().and_then(RouteSlot::get);
        }
        let ending = match ending {
            _ if self.panicked => Ending::Panicked,
            // if the handler sent something, it was dropped with the handler
            Ending::Aborted if self.failure.is_none() && in_cut_off() => Ending::CutOff,
            ending => ending,
        };
        if ending.is_of_server() && self.length.is_unsent(self.outcome.body_bytes) {
            (self.outcome.sent_status, self.outcome.time_to_headers) = (None, None);
        }
        self.outcome.ending = ending;
        self.outcome.failure = self.failure.as_ref().and_then(|kind| kind.get().copied());
        self.outcome.elapsed = self.started.elapsed();
        self.outcome.status = match (ending, self.outcome.sent_status) {
            // an error of the server stays one, whoever reads it
            (Ending::Aborted, sent) => sent.filter(|sent| *sent >= 500).unwrap_or(499),
            (_, Some(sent)) => sent,
            (Ending::CutOff, None) => 503,
            (_, None) => 500,
        };
        if let Some(call) = self.call.take() {
            let end = call.end(&self.outcome);
            self.outcome.route = end.route().or(self.outcome.route.take());
            self.outcome.grpc = Some(Box::new(end));
        }
        let end = || self.observer.end(scope, &self.outcome);
        // a second panic while the handler's panic unwinds would abort the process
        drop(catch_unwind(AssertUnwindSafe(end)));
    }
}

impl<O: Observe> Drop for RequestGuard<O> {
    fn drop(&mut self) {
        self.finish(self.length.ending(self.outcome.body_bytes, self.has_ended));
    }
}
