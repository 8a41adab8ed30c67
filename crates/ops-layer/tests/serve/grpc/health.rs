//! Health service of gRPC, queried as an orchestrator does.

use rustix::process::Signal;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::{
    self, NotServing, ServiceUnknown, Serving,
};
use tonic_health::pb::health_client::HealthClient;

use super::{count, served};
use crate::client::request;
use crate::process::Process;

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn client(service: &Process) -> HealthClient<Channel> {
    let url = format!("http://{}", service.api);
    let endpoint = Channel::from_shared(url).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

async fn next(
    watch: &mut tonic::Streaming<tonic_health::pb::HealthCheckResponse>,
) -> ServingStatus {
    watch.message().await.unwrap().unwrap().status()
}

fn set(service: &Process, state: u8) {
    let path = format!("/health/{state}");
    assert_eq!(request(service.api, "POST", &path, "", b"").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_check_and_a_stop_are_not_serving() {
    let service = served();
    let mut client = client(&service).await;
    let mut watch = client.watch(ask("test.Calls")).await.unwrap().into_inner();
    assert_eq!(next(&mut watch).await, Serving);
    for name in ["", "test.Calls", "grpc.health.v1.Health"] {
        let answer = client.check(ask(name)).await.unwrap();
        assert_eq!(answer.into_inner().status(), Serving, "{name}");
    }
    let unknown = client.check(ask("test.Other")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut of_unknown = client.watch(ask("test.Other")).await.unwrap().into_inner();
    assert_eq!(next(&mut of_unknown).await, ServiceUnknown);

    set(&service, 2);
    assert_eq!(next(&mut watch).await, NotServing);
    let answer = client.check(ask("")).await.unwrap();
    assert_eq!(answer.into_inner().status(), NotServing);
    // ready, but degraded
    set(&service, 1);
    assert_eq!(next(&mut watch).await, Serving);

    // probes have no line; they are counted only as calls
    assert_eq!(service.log().matches("grpc.health").count(), 0);
    let check = "grpc.health.v1.Health/Check";
    assert_eq!(count(&service, "server", check, "OK", ""), Some(4));
    assert_eq!(count(&service, "server", check, "NOT_FOUND", ""), Some(1));
    let metrics = crate::client::get(service.admin, "/metrics").body;
    assert!(!metrics.contains("route=\"/grpc.health"), "{metrics}");

    service.signal(Signal::TERM);
    assert_eq!(next(&mut watch).await, NotServing);
    // the streams end, so that the shutdown does not wait for clients that watch
    assert!(watch.message().await.unwrap().is_none());
    assert!(of_unknown.message().await.unwrap().is_none());
    let (status, log) = service.ended();
    assert!(status.success(), "{log}");
    assert!(!log.contains("requests_cut_off"), "{log}");
}
