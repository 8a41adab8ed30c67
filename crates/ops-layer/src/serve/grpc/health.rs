//! `grpc.health.v1`, based on the readiness checks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::super::readiness::Readiness;

/// Pause between two runs of the checks for clients that watch.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Name of the health service itself.
const OWN_NAME: &str = "grpc.health.v1.Health";

type Sender = mpsc::Sender<Result<HealthCheckResponse, Status>>;

/// Health of all services, which share the checks.
pub(super) struct Checks {
    readiness: Readiness,
    names: Arc<[&'static str]>,
}

impl Checks {
    pub(super) fn new(readiness: Readiness, names: &[&'static str]) -> Self {
        Self {
            readiness,
            names: names.into(),
        }
    }

    /// Returns whether the service is known. The empty name is the whole server.
    fn is_known(&self, service: &str) -> bool {
        service.is_empty() || service == OWN_NAME || self.names.contains(&service)
    }
}

#[tonic::async_trait]
impl Health for Checks {
    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.is_known(&request.into_inner().service) {
            return Err(Status::not_found("no such service"));
        }
        Ok(Response::new(answer(status(&self.readiness).await)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = self.is_known(&request.into_inner().service);
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(report(self.readiness.clone(), is_known, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Sends each change until the client leaves or the service stops,
/// which ends the stream: the shutdown does not wait for it.
async fn report(readiness: Readiness, is_known: bool, sender: Sender) {
    let mut last = None;
    loop {
        let is_draining = readiness.is_draining();
        let now = match is_known {
            true => status(&readiness).await,
            false => ServingStatus::ServiceUnknown,
        };
        if last != Some(now) && sender.send(Ok(answer(now))).await.is_err() {
            return;
        }
        last = Some(now);
        if is_draining {
            return;
        }
        tokio::select! {
            () = sender.closed() => return,
            () = readiness.drained() => {}
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
    }
}

async fn status(readiness: &Readiness) -> ServingStatus {
    match readiness.not_ready().await {
        None => ServingStatus::Serving,
        Some(_) => ServingStatus::NotServing,
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
