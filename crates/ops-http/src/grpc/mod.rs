//! gRPC calls: their method and their end.

mod code;
mod head;
mod methods;

use http::{HeaderMap, Method, request};

use crate::Route;

pub use code::GrpcCode;
pub(crate) use head::{SentStatus, is_grpc, timeout};
pub(crate) use methods::{has_answered, record_call};

/// Maximum length of a method name in bytes; longer names are cut.
const MAX_METHOD_BYTES: usize = 256;

/// Calls of the health service, which come every few seconds and are unrelated to the service's users.
///
/// They get no access line and no span, like [`QUIET_ROUTES`](crate::QUIET_ROUTES).
pub const QUIET_CALLS: &[&str] = &[
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// Marks a response to a call that HTTP refused with a 4xx status that was replaced by a gRPC status.
#[derive(Clone, Copy, Debug)]
pub struct RefusedCall;

/// End of a gRPC call.
///
/// The status is taken from the trailers, or from the head if no message followed it. If none was sent, it is
/// the status that gRPC defines: `DEADLINE_EXCEEDED` if the call was aborted, cut off or failed when its
/// `grpc-timeout` was over, else `CANCELLED` if the client went away, `UNAVAILABLE` for a client without a response
/// and for a call that its server gave up, the code for the HTTP status of a complete response, or `UNKNOWN`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GrpcEnd {
    /// Status of the call.
    pub code: GrpcCode,
    /// Message of the status, decoded; at most 1024 bytes.
    pub message: Option<Box<str>>,
    /// The `error.type` of the semantic conventions: the name of the code or, if no status was sent, the
    /// cause (`panic`, `body_error`, `cut_off`, `missing_status`, the kind of a client's error). `None` if
    /// the call did not fail. For a client, only `OK` is not a failure. For a server, an HTTP status of 500 or
    /// above is a failure. These are not, because any client can cause them: codes outside
    /// [`GrpcCode::is_server_error`], `UNIMPLEMENTED` for an unknown method, and the code of a request that HTTP
    /// refused with a 4xx status ([`RefusedCall`]).
    pub error_type: Option<&'static str>,
    pub(crate) name: Box<str>,
    pub(crate) is_known: bool,
}

impl GrpcEnd {
    /// Returns the route of a known method.
    pub(crate) fn route(&self) -> Option<Route> {
        self.method().map(|method| Route::new(format!("/{method}")))
    }

    /// Returns the method as `package.Service/Method`; `None` if it is not known to exist.
    ///
    /// Known methods are routes and those that answered a call before, at most 1024; a message is an answer, although
    /// the client left before the status. Of the methods that only failed so far, or only began to respond, the first
    /// 64 are known too, unless they responded `UNIMPLEMENTED` without a message.
    pub fn method(&self) -> Option<&str> {
        self.is_known.then_some(&*self.name)
    }

    /// Returns the requested method, at most 256 bytes.
    pub fn requested_method(&self) -> &str {
        &self.name
    }
}

/// Returns the method of a gRPC request; `None` for any other request, and without the feature `grpc`.
pub fn grpc_method(request: &request::Parts) -> Option<&str> {
    is_grpc_call(&request.method, &request.headers).then(|| name(request.uri.path()))
}

/// Returns `true` for a POST of `application/grpc`, with or without a
/// format such as `+proto`; always `false` without the feature `grpc`.
///
/// gRPC-Web is not recognized: it sends its status in the body.
pub fn is_grpc_call(method: &Method, headers: &HeaderMap) -> bool {
    cfg!(feature = "grpc") && head::is_call(method, headers)
}

/// Returns the method of a served gRPC request, if it is known before the response.
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
