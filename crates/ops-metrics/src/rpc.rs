//! gRPC calls, under the names of OpenTelemetry's stable conventions for RPC.

use std::time::Duration;

use ops_http::{GrpcEnd, QUIET_CALLS};

use crate::builtin::{rpc_client_call_duration_seconds, rpc_server_call_duration_seconds};
use crate::series::exemplar::TraceId;

const SYSTEM: &str = "grpc";
const OTHER_METHOD: &str = "_OTHER";

/// Returns `true` for calls of the health service, which are probes.
pub(crate) fn is_probe(call: &GrpcEnd) -> bool {
    let method = call.requested_method();
    let mut probes = QUIET_CALLS.iter();
    probes.any(|path| path.strip_prefix('/') == Some(method))
}

pub(crate) fn observe_served(call: &GrpcEnd, elapsed: Duration, trace: Option<TraceId>) {
    let method = call.method().unwrap_or(OTHER_METHOD);
    rpc_server_call_duration_seconds::family()
        .histogram(&[SYSTEM, method, call.code.name(), error_type(call)])
        .observe_in(elapsed.as_secs_f64(), trace);
}

pub(crate) fn observe_sent(
    call: &GrpcEnd,
    (address, port): (&str, &str),
    elapsed: Duration,
    trace: Option<TraceId>,
) {
    let method = call.method().unwrap_or(OTHER_METHOD);
    let (code, failure) = (call.code.name(), error_type(call));
    rpc_client_call_duration_seconds::family()
        .histogram(&[SYSTEM, method, code, failure, address, port])
        .observe_in(elapsed.as_secs_f64(), trace);
}

/// Returns the type of the error; an empty label is the same as no label.
fn error_type(call: &GrpcEnd) -> &'static str {
    call.error_type.unwrap_or_default()
}
