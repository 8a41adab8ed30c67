//! Service whose gRPC calls all fail: the page and the findings count them, although each has the HTTP status 200.

use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::Code;
use tonic::transport::Channel;

use crate::client::{PATIENCE, get};
use crate::process::Process;

use super::calls::{Ask, Client};
use super::{count, served};

/// Polls this path of the admin page until `find` succeeds.
fn until<T>(service: &Process, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
    let asked = Instant::now();
    loop {
        let answer: Value = serde_json::from_str(&get(service.admin, path).body).unwrap();
        if let Some(found) = find(&answer) {
            return found;
        }
        assert!(asked.elapsed() < PATIENCE, "{path}: {answer:#}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Returns the routes as the page lists them, with requests and errors.
fn routes(answer: &Value) -> Vec<String> {
    let routes = answer.as_array().unwrap().iter();
    let text = |route: &Value| {
        let [method, name] = ["method", "route"].map(|key| route[key].as_str().unwrap());
        format!("{method} {name} {} {}", route["requests"], route["errors"])
    };
    routes.map(text).collect()
}

async fn fail(client: &mut Client<Channel>, calls: usize) {
    for _ in 0..calls {
        let status = client.one("One", Ask::new(0, Code::Internal, "broken"));
        assert_eq!(status.await.unwrap_err().code(), Code::Internal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_are_errors_of_the_page_and_of_the_findings() {
    let service = served();
    let mut client = Client::connect(service.api).await;
    fail(&mut client, 20).await;
    until(&service, "/api/routes?window=5m", |answer| {
        let is_there = |route: &String| route == "POST /test.Calls/One 20 20";
        routes(answer).iter().any(is_there).then_some(())
    });
    let code = count(&service, "server", "test.Calls/One", "INTERNAL", "INTERNAL");
    assert_eq!(code, Some(20));
    until(&service, "/api/state", |state| {
        let lines = state["metrics"].as_array()?.iter();
        let mut lines = lines.filter(|line| line["name"] == "error_ratio");
        let mut points = lines.next()?["recent"].as_array()?.iter();
        points.any(|point| point == 1.0).then_some(())
    });
    // the row leads to traces of the route
    let slowest = until(&service, "/api/routes?window=5m", |answer| {
        answer[0]["slowest"]["trace_id"].as_str().map(str::to_owned)
    });
    let listed = "/api/traces?status=error&route=POST%20/test.Calls/One";
    until(&service, listed, |answer| {
        answer.to_string().contains(&slowest).then_some(())
    });

    if std::env::var_os("OPS_TEST_FULL").is_none() {
        return; // waits for evaluations
    }
    let finding = until(&service, "/api/state", |state| {
        let findings = state["findings"].as_array()?.iter();
        let mut of_all = findings.filter(|finding| {
            let seen = finding["seen"].as_str().unwrap_or_default();
            finding["id"] == "requests_failing" && seen.starts_with("20 of 20 requests")
        });
        of_all.next().cloned()
    });
    assert_eq!(finding["route"], "POST /test.Calls/One");
    assert!(finding["trace_id"].is_string(), "{finding:#}");
}
