//! gRPC calls beside the routes: tonic services, and their health based on the readiness checks.

mod health;
mod mounted;
mod upload;

use std::convert::Infallible;
use std::fmt;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use ops_http::{GrpcCode, QUIET_CALLS, RefusedCall, Route};
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tower_service::Service as _;

use super::failure::Failure;
use super::problem::Detail;
use super::readiness::Readiness;
use health::Checks;
use mounted::Mounted;
pub(super) use upload::Upload;

/// Services that are added to the routes.
#[derive(Default)]
pub(super) struct Calls {
    services: Router,
    names: Vec<&'static str>,
    refused: Option<&'static str>,
}

impl Calls {
    pub(super) fn add<S>(&mut self, service: S)
    where
        S: tower_service::Service<http::Request<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        if self.names.contains(&S::NAME) {
            self.refused = Some(S::NAME);
            return;
        }
        self.names.push(S::NAME);
        let services = std::mem::take(&mut self.services);
        let methods = format!("/{}/{{*method}}", S::NAME);
        self.services = services.route_service(&methods, Mounted(service));
    }

    /// Adds the services to the routes.
    pub(super) fn mount(self, router: Router, readiness: &Readiness) -> Result<Mount, Failure> {
        if let Some(name) = self.refused {
            return Err(Failure::ServedTwice(name));
        }
        let names = self.names;
        let services = self.services;
        // the router panics if it already has such a route
        let merge = std::panic::AssertUnwindSafe(|| router.merge(services));
        let router = std::panic::catch_unwind(merge)
            .map_err(|_| Failure::ServedTwice(names.first().copied().unwrap_or_default()))?;
        let checks = Checks::new(readiness.clone(), &names);
        Ok(Mount {
            router,
            gate: Gate {
                names,
                health: HealthServer::new(checks),
            },
        })
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.names).finish()
    }
}

/// Routes with the services, and the gate that each request passes.
pub(super) struct Mount {
    pub(super) router: Router,
    pub(super) gate: Gate,
}

/// Part of the gate that handles gRPC.
pub(super) struct Gate {
    names: Vec<&'static str>,
    health: HealthServer<Checks>,
}

impl Gate {
    /// Returns `true` for calls of the health service.
    pub(super) fn is_probe(&self, path: &str) -> bool {
        QUIET_CALLS.contains(&path)
    }

    /// Returns `true` for calls of an added service, whose client may take its time to send messages.
    pub(super) fn serves(&self, path: &str) -> bool {
        let mut parts = path.strip_prefix('/').unwrap_or_default().split('/');
        parts.next().is_some_and(|name| self.names.contains(&name))
    }

    /// Answers a call of the health service.
    pub(super) async fn probe(&self, request: Request) -> Response {
        let route = Route::new(request.uri().path());
        let Ok(answer) = self.health.clone().call(request).await;
        let mut response = answer.map(Body::new);
        response.extensions_mut().insert(route);
        response
    }
}

/// Converts a response with an HTTP error status to one with a gRPC status, by the protocol's table. If the upload broke
/// off, the status that tonic gives for a lost client becomes `CANCELLED`. Other responses are not changed.
pub(super) fn with_status(mut response: Response, upload: &Upload) -> Response {
    let status = response.status();
    if let Some(code) = response.headers_mut().get_mut("grpc-status") {
        let known = tonic::Code::from_bytes(code.as_bytes());
        if upload.broke_off() && matches!(known, tonic::Code::Unknown | tonic::Code::Internal) {
            *code = (tonic::Code::Cancelled as i32).into();
        }
        return response;
    }
    if status.is_success() {
        return response;
    }
    let code = GrpcCode::of_http(status.as_u16());
    let code = tonic::Code::from_i32(code as i32);
    let detail = response.extensions().get::<Detail>();
    let answer = tonic::Status::new(code, detail.map(|detail| detail.0).unwrap_or_default());
    let mut answer = answer.into_http::<Body>();
    *answer.extensions_mut() = response.into_parts().0.extensions;
    if status.is_client_error() {
        answer.extensions_mut().insert(RefusedCall);
    }
    answer
}
