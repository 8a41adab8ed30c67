use std::time::Duration;

use http::{Method, Uri};

use crate::{GrpcEnd, Route};

/// Report of a finished request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Method, as sent.
    pub method: Method,
    /// Matched route, or else the route of the gRPC method; `None` if no route matched.
    pub route: Option<Route>,
    /// Status to report: the status that was sent, 499 if the client went away
    /// before the end of the response (unless a 5xx was sent), 500 if handler or service failed before
    /// a head was sent, 503 if the server gave the request up before a head was sent.
    pub status: u16,
    /// Status in the head of the response; `None` if the request ended before a head was sent.
    pub sent_status: Option<u16>,
    /// Cause of the end.
    pub ending: Ending,
    /// Time from the arrival of the request to the end of the response body.
    pub elapsed: Duration,
    /// Time from the arrival of the request to the head of the response; `None` if there was no head.
    pub time_to_headers: Option<Duration>,
    /// Bytes of the response body that were handed to the server.
    pub body_bytes: u64,
    /// `true` if the length of the body was unknown when the head was sent.
    pub streamed: bool,
    /// Kind of the error that a client returned: `connection_refused`, `timeout`, `host_not_found`,
    /// `resolver_unavailable`, `too_many_open_files` and other errors of the operating system, or
    /// else the name of the error's type. `None` for a request that is served.
    pub failure: Option<&'static str>,
    /// End of the call, if the request is a gRPC call. `None` without the feature `grpc`.
    pub grpc: Option<Box<GrpcEnd>>,
    /// Target of a request without a route, for a warning.
    pub(crate) target: Option<Box<Uri>>,
}

impl Outcome {
    /// Returns an outcome without head and body, for tests of observers; its fields can be set.
    pub fn new(
        method: Method,
        route: Option<Route>,
        status: u16,
        ending: Ending,
        elapsed: Duration,
    ) -> Self {
        Self {
            method,
            route,
            status,
            sent_status: None,
            ending,
            elapsed,
            time_to_headers: None,
            body_bytes: 0,
            streamed: false,
            failure: None,
            grpc: None,
            target: None,
        }
    }

    /// Returns `true` if the service failed: handler or body failed, or the status
    /// is a server error. For a gRPC call, `true` if [`GrpcEnd::error_type`] is set.
    pub fn is_server_error(&self) -> bool {
        if let Some(call) = &self.grpc {
            return call.error_type.is_some();
        }
        self.ending.is_of_server() || self.status >= 500
    }

    /// Returns `true` if handler or body failed, or the server gave the request up, after
    /// the head was sent: the status that the client received does not show the failure.
    pub fn failed_after_head(&self) -> bool {
        self.ending.is_of_server() && self.sent_status.is_some()
    }

    /// Returns the path of a request that was served (status below 400) although its route is unknown:
    /// an inner service responded without naming its route. Wrap it in [`route`](crate::route).
    ///
    /// `None` for OPTIONS: a layer such as that of CORS responds to it for any path.
    pub fn served_without_route(&self) -> Option<&str> {
        let served = self.ending == Ending::Complete
            && self.status < 400
            && self.route.is_none()
            && self.method != Method::OPTIONS
            && self.grpc.is_none();
        self.target
            .as_ref()
            .filter(|_| served)
            .map(|target| target.path())
    }

    /// Returns the `error.type` of the semantic conventions;
    /// `None` if the response was complete, whatever its status.
    pub fn error_type(&self) -> Option<&'static str> {
        match self.ending {
            Ending::Complete => None,
            Ending::Aborted => Some("client_disconnect"),
            Ending::CutOff => Some("cut_off"),
            Ending::Panicked => Some("panic"),
            Ending::Failed if self.sent_status.is_some() => Some("body_error"),
            Ending::Failed => Some(self.failure.unwrap_or("service_error")),
        }
    }
}

/// Cause of a request's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The whole response was handed to the server, or its reader
    /// closed an event stream or a `multipart/x-mixed-replace`.
    ///
    /// A response is whole once as many bytes as its head declares were handed over
    /// (RFC 9112, section 6.2) or, without a declared length, once its body ended.
    Complete,
    /// The response was dropped before its end: the client went away.
    Aborted,
    /// The server gave the request up before the end of the response and marked it with [`cut_off`](crate::cut_off).
    CutOff,
    /// Handler or body panicked.
    Panicked,
    /// Service or body returned an error, the body has another length than declared, or the head cannot be sent.
    Failed,
}

impl Ending {
    /// Returns `true` if something within the server ended the request before the whole response was sent.
    pub fn is_of_server(self) -> bool {
        matches!(self, Self::CutOff | Self::Failed | Self::Panicked)
    }
}
