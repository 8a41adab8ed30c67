//! Calls of gRPC: their method, and how they ended.

mod code;
mod head;
mod methods;

use http::{HeaderMap, Method, request};

use crate::Route;

pub use code::GrpcCode;
pub(crate) use head::{Answer, timeout};
pub(crate) use methods::{has_answered, is_known};

/// Maximum length of the name of a method in bytes; a longer one is cut.
const MAX_METHOD_BYTES: usize = 256;

/// Calls of the health service, which come every few seconds and say nothing about the service's users.
///
/// They have no access line and no span, as [`QUIET_ROUTES`](crate::QUIET_ROUTES) have none.
pub const QUIET_CALLS: &[&str] = &[
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// Marks the response of a call that HTTP refused with a status of 4xx, where it was given a status of gRPC instead.
#[derive(Clone, Copy, Debug)]
pub struct RefusedCall;

/// End of a gRPC call.
///
/// The status is the one of the trailers, or of the head if no message followed it. Where none was sent, it is the one that
/// gRPC defines: `CANCELLED` if the client went away, `DEADLINE_EXCEEDED` if it did so when its `grpc-timeout` was over,
/// that of the HTTP status for an answer of something else than gRPC, `UNAVAILABLE` for a client without an answer and for a call that
/// its server gave up, and else `UNKNOWN`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GrpcEnd {
    /// Status of the call.
    pub code: GrpcCode,
    /// Message of the status, decoded; at most 1024 bytes.
    pub message: Option<Box<str>>,
    /// The `error.type` of the semantic conventions: the name of the code, or else the cause for which none was sent (`panic`,
    /// `body_error`, `cut_off`, `missing_status`, the kind of a client's error). `None` if the call did not fail: for a client, that is
    /// `OK`; for a server, all codes but those of [`GrpcCode::is_server_error`], `UNIMPLEMENTED` of a method that is not known, and
    /// the code of what HTTP refused with a status of 4xx ([`RefusedCall`]): any client can ask for those.
    pub error_type: Option<&'static str>,
    pub(crate) name: Box<str>,
    pub(crate) is_known: bool,
}

impl GrpcEnd {
    /// Returns the route of a method that is known.
    pub(crate) fn route(&self) -> Option<Route> {
        self.method().map(|method| Route::new(format!("/{method}")))
    }

    /// Returns the method as `package.Service/Method`; `None` if nothing tells that the service has it.
    ///
    /// Known are methods that are routes, and those that answered a call before, at most 1024. Of those that only failed so far
    /// the first 64 are known too, unless the answer was an `UNIMPLEMENTED` without a message.
    pub fn method(&self) -> Option<&str> {
        self.is_known.then_some(&*self.name)
    }

    /// Returns the method that was asked for, at most 256 bytes.
    pub fn requested_method(&self) -> &str {
        &self.name
    }
}

/// Returns the method of a request of gRPC; `None` for any other request, and without the feature `grpc`.
pub fn grpc_method(request: &request::Parts) -> Option<&str> {
    is_grpc_call(&request.method, &request.headers).then(|| name(request.uri.path()))
}

/// Returns `true` for a POST of `application/grpc`, alone or with a format such as `+proto`; `false` without the feature `grpc`.
///
/// gRPC-Web is not gRPC: it has its status in the body.
pub fn is_grpc_call(method: &Method, headers: &HeaderMap) -> bool {
    cfg!(feature = "grpc") && head::is_call(method, headers)
}

/// Returns the method of a request of gRPC that is served, if it is known before it was answered.
pub fn known_grpc_method(request: &request::Parts) -> Option<&str> {
    let name = grpc_method(request)?;
    let route = Route::get(&request.extensions);
    let is_known = is_route(route.as_ref(), name) || has_answered(name);
    is_known.then_some(name)
}

fn name(path: &str) -> &str {
    let name = path.strip_prefix('/').unwrap_or(path);
    &name[..name.floor_char_boundary(MAX_METHOD_BYTES)]
}

/// Returns `true` if the route is this method and nothing else.
pub(crate) fn is_route(route: Option<&Route>, name: &str) -> bool {
    route.is_some_and(|route| route.template().strip_prefix('/') == Some(name))
}
