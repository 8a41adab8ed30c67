//! Stand-in for gRPC, which is compiled out: no request is a call.

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;

use super::failure::Failure;
use super::problem::problem;
use super::readiness::Readiness;

#[derive(Debug, Default)]
pub(super) struct Calls {}

pub(super) struct Mount {
    pub(super) router: Router,
    pub(super) gate: Gate,
}

pub(super) struct Gate;

impl Calls {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the interface of the part"
    )]
    pub(super) fn mount(self, router: Router, _: &Readiness) -> Result<Mount, Failure> {
        Ok(Mount { router, gate: Gate })
    }
}

#[expect(clippy::unused_self, reason = "the interface of the part")]
impl Gate {
    pub(super) fn is_probe(&self, _: &str) -> bool {
        false
    }

    pub(super) fn serves(&self, _: &str) -> bool {
        false
    }

    #[expect(clippy::unused_async, reason = "the interface of the part")]
    pub(super) async fn probe(&self, _: Request) -> Response {
        problem(StatusCode::NOT_FOUND, "not found")
    }
}

#[derive(Default)]
pub(super) struct Upload {}

#[expect(clippy::unused_self, reason = "the interface of the part")]
impl Upload {
    pub(super) fn watch(&self, request: Request) -> Request {
        request
    }
}

pub(super) fn with_status(response: Response, _: &Upload) -> Response {
    response
}
