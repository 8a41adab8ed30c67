//! The application's router, with the layers that a service needs.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use futures_util::FutureExt as _;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body;
use super::grpc::{self, Mount};
use super::host;
use super::probe;
use super::problem::problem;
use super::readiness::Readiness;
use super::settings::Settings;
use crate::{Ops, limited};

struct Gate {
    calls: grpc::Gate,
    readiness: Readiness,
    places: Option<Arc<Semaphore>>,
    timeout: Option<Duration>,
    body: Duration,
}

/// Adds, from the inside out: conversion of panics to 500, request limits, probes, and the observers.
pub(super) fn compose(
    mount: Mount,
    ops: &Ops,
    settings: &Settings,
    readiness: Readiness,
) -> Router {
    let gate = Arc::new(Gate {
        calls: mount.gate,
        readiness,
        places: settings
            .max_in_flight
            .map(|max| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)))),
        timeout: settings.timeout,
        body: settings.body,
    });
    mount
        .router
        .layer(middleware::from_fn(caught))
        .layer(middleware::from_fn_with_state(gate, pass))
        .layer(ops.http())
        // applies the layers of routes now, as `axum::serve` does: otherwise each request gets new ones, with the state
        // of limits and queues
        .with_state(())
}

/// Responds with 500 if a handler panics. The panic itself is logged by the panic hook of the log.
async fn caught(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "the handler failed"))
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    if !ops_http::is_grpc_call(request.method(), request.headers()) {
        return answer(&gate, request, next).await;
    }
    let is_route = request.extensions().get::<MatchedPath>().is_some();
    if gate.calls.is_probe(request.uri().path()) && !is_route {
        return gate.calls.probe(request).await;
    }
    let upload = grpc::Upload::default();
    let request = upload.watch(request);
    grpc::with_status(answer(&gate, request, next).await, &upload)
}

async fn answer(gate: &Gate, request: Request, next: Next) -> Response {
    if let Err(why) = host::check(&request) {
        return problem(StatusCode::BAD_REQUEST, why);
    }
    let path = request.uri().path();
    if ops_http::is_quiet(path) {
        let matched = request.extensions().get::<MatchedPath>();
        return if matched.is_some_and(|matched| matched.as_str() == path) {
            // limits do not apply to the application's own probe either
            next.run(request).await
        } else {
            probe::answer(request, &gate.readiness, next).await
        };
    }
    let place = match &gate.places {
        None => None,
        Some(places) => match places.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                limited::REFUSED.fetch_add(1, Relaxed);
                return problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many requests are in flight",
                );
            }
        },
    };
    let response = limited(gate, request, next).await;
    match place {
        None => response,
        Some(place) => response.map(|body| {
            Body::new(InPlace {
                body,
                _place: place,
            })
        }),
    }
}

async fn limited(gate: &Gate, request: Request, next: Next) -> Response {
    let is_unlimited = gate.calls.serves(request.uri().path());
    let answered = async {
        match is_unlimited {
            true => next.run(request).await,
            false => body::in_time(gate.body, request, next).await,
        }
    };
    match gate.timeout {
        None => answered.await,
        Some(timeout) => match tokio::time::timeout(timeout, answered).await {
            Ok(response) => response,
            Err(_) => {
                limited::LATE.fetch_add(1, Relaxed);
                problem(StatusCode::SERVICE_UNAVAILABLE, "the request timed out")
            }
        },
    }
}

pin_project_lite::pin_project! {
    /// Response body that keeps the place of its request among those in flight.
    struct InPlace {
        #[pin]
        body: Body,
        _place: OwnedSemaphorePermit,
    }
}

impl HttpBody for InPlace {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
