//! Spans of incoming requests, an observer for `ops_http::ObserveLayer`,
//! and of outgoing requests, an observer for `ops_http::ClientLayer`.
//!
//! Names and attributes are those of OpenTelemetry's stable conventions for HTTP, with one difference: a request
//! that no route matches is named `HTTP`, whatever its method, so that scanners cannot make up names. The
//! possible names are this one and the pairs of a known method, or `HTTP` for all others, and a route. A request
//! that its route refuses with 405 is named after the route too.
//!
//! With the feature `grpc`, gRPC calls have the names and attributes of the stable conventions for RPC instead. The
//! name is the method, or `grpc` if it is unknown whether the service has the method; the status is `rpc.status_code`;
//! errors follow the conventions for gRPC on each side, and their description is the status message.

mod client;
mod describe;
mod forwarded;
mod grpc;
mod head;
mod query;
mod request_span;
mod shape_key;
mod trust;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Once};
use std::time::SystemTime;

use ::http::{Extensions, HeaderName, request, response};
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt, Tracer as _};
use opentelemetry::{Context, ContextGuard, KeyValue};
use ops_http::{Observe, Outcome, QUIET_CALLS, QUIET_ROUTES, Route};

use crate::limits::{MAX_TEXT_BYTES, cut};
use crate::network::Network;
use crate::propagation::{Remote, baggage, extract, header, with_span};
use crate::{Error, Handle, global};

pub use client::{ClientScope, ClientSpans, ResendCount};
use forwarded::Forwarded;
use head::{Client, Head};
use request_span::RequestSpan;
pub use trust::Trust;

const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Function that returns the peer's address of a request.
pub type PeerAddr = fn(&Extensions) -> Option<IpAddr>;

/// Observer that creates one server span for each request, from its arrival to the end of its body.
#[derive(Clone, Debug)]
pub struct ServerSpans(Arc<Settings>);

#[derive(Clone, Debug)]
struct Settings {
    handle: Option<Handle>,
    trust: Trust,
    networks: Vec<Network>,
    peer: PeerAddr,
    skip_paths: Vec<String>,
    client: bool,
    /// True once the warning about an unknown peer is logged; shared by all clones.
    warned: Arc<AtomicBool>,
}

impl Default for ServerSpans {
    fn default() -> Self {
        Self(Arc::new(Settings {
            handle: None,
            trust: Trust::default(),
            networks: Vec::new(),
            peer: |_| None,
            skip_paths: QUIET_ROUTES
                .iter()
                .chain(QUIET_CALLS)
                .map(|path| (*path).to_owned())
                .collect(),
            client: false,
            warned: Arc::default(),
        }))
    }
}

impl ServerSpans {
    /// Creates an observer that uses the handle of [`init`](crate::init), trusts private peers, and skips probes and
    /// scrapes ([`QUIET_ROUTES`] and [`QUIET_CALLS`]).
    pub fn new() -> Self {
        warn_of_refused_methods();
        Self::default()
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Uses this handle instead of the global one.
    #[must_use]
    pub fn handle(self, handle: Handle) -> Self {
        self.with(|settings| settings.handle = Some(handle))
    }

    /// Sets the peers whose trace context becomes the parent, and whose `Forwarded` and `X-Forwarded` headers are read.
    #[must_use]
    pub fn trust(self, trust: Trust) -> Self {
        self.with(|settings| settings.trust = trust)
    }

    /// Trusts peers in this network, such as `10.1.0.0/16`, and no others; call it again for more networks.
    ///
    /// # Errors
    /// Fails if the text is neither an address nor a network.
    pub fn trust_network(self, network: &str) -> Result<Self, Error> {
        let network = network.parse()?;
        Ok(self.with(|settings| {
            settings.trust = Trust::Networks;
            settings.networks.push(network);
        }))
    }

    /// Sets the function that returns the peer's address of a request. Without it no peer is known, and none is trusted
    /// as private; the first valid `traceparent` is then logged once as `trace_context_from_unknown_peer`.
    #[must_use]
    pub fn peer(self, peer: PeerAddr) -> Self {
        self.with(|settings| settings.peer = peer)
    }

    /// Sets the paths without a span, instead of the default ones. Their trace ids are still propagated.
    #[must_use]
    pub fn skip_paths(self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with(|settings| settings.skip_paths = paths.into_iter().map(Into::into).collect())
    }

    /// Records `client.address` and `user_agent.original`. Off by default, because they are personal data.
    #[must_use]
    pub fn client_attributes(self, on: bool) -> Self {
        self.with(|settings| settings.client = on)
    }

    /// Returns the peer's address; `None` if the function that finds it panics.
    fn peer_of(&self, request: &request::Parts) -> Option<IpAddr> {
        let find = || (self.0.peer)(&request.extensions);
        catch_unwind(AssertUnwindSafe(find)).ok().flatten()
    }

    fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match self.0.trust {
            Trust::Everybody => true,
            Trust::Nobody => false,
            Trust::PrivatePeers => peer.is_some_and(trust::is_private),
            Trust::Networks => {
                peer.is_some_and(|peer| self.0.networks.iter().any(|n| n.contains(peer)))
            }
        }
    }

    /// Logs once that a valid `traceparent` did not become a parent because its sender is unknown.
    fn warn_of_unknown_peer(&self) {
        let by_peer = matches!(self.0.trust, Trust::PrivatePeers | Trust::Networks);
        if by_peer && !self.0.warned.swap(true, Relaxed) {
            tracing::warn!(
                target: "ops_trace",
                cure = "serve with into_make_service_with_connect_info::<SocketAddr>() and \
                        ServerSpans::peer(ops_trace::axum::peer), or set ServerSpans::trust",
                "trace_context_from_unknown_peer"
            );
        }
    }

    /// Returns the parent, or else the link, from the request's headers.
    fn remote(
        &self,
        handle: &Handle,
        request: &request::Parts,
        peer: Option<IpAddr>,
    ) -> (Option<Remote>, Option<SpanContext>) {
        let remote = extract(&request.headers, handle.formats());
        match remote {
            Some(remote) if self.trusts(peer) => (Some(remote), None),
            Some(remote) => {
                if peer.is_none() {
                    self.warn_of_unknown_peer();
                }
                (None, Some(remote.span))
            }
            None => (None, None),
        }
    }
}

/// Logs once per process which methods of the variable are ignored.
fn warn_of_refused_methods() {
    static WARNED: Once = Once::new();
    let refused = ops_http::refused_methods();
    if !refused.is_empty() {
        WARNED.call_once(|| {
            tracing::warn!(
                target: "ops_trace",
                variable = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
                ?refused,
                accepted = "at most 64 methods of up to 32 bytes, separated by commas",
                "variable_refused"
            );
        });
    }
}

/// State of one request: its span, or the context that is propagated without one.
#[derive(Debug)]
pub struct Scope {
    context: Context,
    /// Route after which the span is named already, if the router ran before.
    named: Option<Route>,
    /// The span in the context, if it is an HTTP span.
    span: Option<RequestSpan>,
    start: SystemTime,
}

impl Observe for ServerSpans {
    type Scope = Option<Scope>;
    type Entered<'a> = Option<ContextGuard>;

    fn start(&self, request: &mut request::Parts) -> Self::Scope {
        let handle = match &self.0.handle {
            Some(handle) => handle,
            None => global()?,
        };
        let peer = self.peer_of(request);
        let (parent, link) = self.remote(handle, request, peer);
        let base = match parent {
            Some(parent) => parent.in_context(&Context::new()),
            None => Context::new(),
        };
        let base = if handle.formats().baggage && self.trusts(peer) {
            baggage::extract(&request.headers, base)
        } else {
            base
        };
        let asked = request.uri.path();
        let skipped = self.0.skip_paths.iter().any(|path| path == asked);
        let Some(tracer) = handle.tracer().filter(|_| !skipped) else {
            let is_empty =
                |context: &Context| !context.has_active_span() && context.baggage().is_empty();
            // there is no context to propagate or to hide, and no span is made that could be inside another one
            if handle.tracer().is_none() && is_empty(&base) && Context::map_current(is_empty) {
                return None;
            }
            return Some(Scope {
                context: base,
                named: None,
                span: None,
                start: SystemTime::UNIX_EPOCH,
            });
        };
        let named = Route::get(&request.extensions);
        let forwarded = if self.trusts(peer) {
            Forwarded::read(&request.headers, |address| self.trusts(Some(address)))
        } else {
            Forwarded::default()
        };
        let client = forwarded.client.or(peer);
        let start = SystemTime::now();
        let who = self.0.client.then(|| Client::new(request, client));
        let (context, span) = if ops_http::grpc_method(request).is_some() {
            let mut builder = grpc::served(request, link, &forwarded, who.as_ref());
            builder.start_time = Some(start);
            let span = tracer.build_with_context(builder, &base);
            (with_span(&base, span), None)
        } else {
            let head = Head::new(request, named.clone(), link, forwarded, who);
            let ids = handle.sampler().ids(base.span().span_context());
            let span = RequestSpan::new(handle, &base, ids, head, start);
            (base.with_span(span.clone()), Some(span))
        };
        for key in handle.baggage_attributes() {
            // attributes of the client that the observer sets must not come from the client's baggage
            let is_known = self.0.client && describe::OF_CLIENT.contains(&key.as_str());
            if let Some(value) = baggage::value(&context, key).filter(|_| !is_known) {
                let attribute = KeyValue::new(key.clone(), cut(value, MAX_TEXT_BYTES));
                context.span().set_attribute(attribute);
            }
        }
        Some(Scope {
            context,
            named,
            span,
            start,
        })
    }

    fn enter<'a>(&'a self, scope: &'a mut Self::Scope) -> Self::Entered<'a> {
        scope.as_ref().map(|scope| scope.context.clone().attach())
    }

    fn response(&self, scope: &mut Self::Scope, response: &mut response::Parts) {
        let Some(scope) = scope else { return };
        let span = scope.context.span();
        let ids = span.span_context();
        if ids.is_valid()
            && !ids.is_remote()
            && let Some(value) = ops_http::header_value(&header(ids))
        {
            response.headers.insert(TRACERESPONSE, value);
        }
    }

    fn end(&self, scope: Self::Scope, outcome: &Outcome) {
        let Some(Scope {
            context,
            named,
            span,
            start,
        }) = scope
        else {
            return;
        };
        if span.is_some_and(|span| span.end_deferred(outcome)) {
            return;
        }
        let end = end(start, outcome);
        let span = context.span();
        let ids = span.span_context();
        if ids.is_remote() || !span.is_recording() {
            return;
        }
        if let Some(call) = &outcome.grpc {
            grpc::ended(&context, call, outcome);
            return span.end_with_timestamp(end);
        }
        describe::correct_name(&span, outcome, named.as_ref());
        if describe::ended(outcome, &mut |attribute| span.set_attribute(attribute)) {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(end);
    }
}

/// Returns the end of a request, measured by a monotonic clock.
fn end(start: SystemTime, outcome: &Outcome) -> SystemTime {
    start.checked_add(outcome.elapsed).unwrap_or(start)
}
