//! gRPC from the view of operators: a tonic client calls a service that runs as a separate process.

mod calls;
mod client_side;
mod failing;
mod health;

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;
use tonic::Code;

use crate::client::{PATIENCE, get, until_in_flight};
use crate::process::{Process, Start};
pub(crate) use calls::Calls;
use calls::{Ask, Client};
pub(crate) use client_side::{OPS, call};

const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "CANCELLED"),
    (Code::Unknown, "UNKNOWN"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::NotFound, "NOT_FOUND"),
    (Code::AlreadyExists, "ALREADY_EXISTS"),
    (Code::PermissionDenied, "PERMISSION_DENIED"),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (Code::FailedPrecondition, "FAILED_PRECONDITION"),
    (Code::Aborted, "ABORTED"),
    (Code::OutOfRange, "OUT_OF_RANGE"),
    (Code::Unimplemented, "UNIMPLEMENTED"),
    (Code::Internal, "INTERNAL"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::DataLoss, "DATA_LOSS"),
    (Code::Unauthenticated, "UNAUTHENTICATED"),
];

/// Codes for which the conventions blame the server.
const SERVER_ERRORS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

fn served() -> Process {
    Start::new("serve").env("GRPC", "1").serve()
}

/// Waits for this many access lines of this path, in the order in which the calls ended.
fn lines(service: &Process, path: &str, count: usize) -> Vec<Value> {
    let asked = Instant::now();
    loop {
        let log = service.log();
        // without a line that is being written
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let of_path = |line: &Value| line["event"] == "request_completed" && line["path"] == path;
        let found: Vec<Value> = lines.filter(of_path).collect();
        if found.len() >= count {
            assert_eq!(found.len(), count, "{found:#?}");
            return found;
        }
        assert!(asked.elapsed() < PATIENCE, "{found:?} of {log}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Returns the span of a line: the root of its trace.
fn span(service: &Process, line: &Value) -> Value {
    let asked = Instant::now();
    let path = format!("/api/traces/{}", line["trace_id"].as_str().unwrap());
    loop {
        let answer = get(service.admin, &path);
        if answer.status == 200 {
            let trace: Value = serde_json::from_str(&answer.body).unwrap();
            return trace["waterfall"][0].clone();
        }
        assert!(asked.elapsed() < PATIENCE, "{answer:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Returns the name of the span, whether it failed, and the attributes that show how the call ended.
fn logged(span: &Value) -> String {
    let attributes = span["attributes"].as_array().unwrap();
    let mut text = format!("{} ", span["name"].as_str().unwrap());
    if span["error"] == true {
        text += "failed ";
    }
    for key in [
        "rpc.system.name",
        "rpc.method",
        "rpc.method_original",
        "rpc.status_code",
        "error.type",
        "http.response.status_code",
    ] {
        let found = attributes.iter().find(|pair| pair[0] == key);
        if let Some(pair) = found {
            text += &format!("{key}={} ", pair[1].as_str().unwrap());
        }
    }
    text.trim_end().to_owned()
}

/// Returns the number of calls that were counted with these labels.
fn count(service: &Process, side: &str, method: &str, code: &str, error: &str) -> Option<u64> {
    let metrics = get(service.admin, "/metrics").body;
    let labels = format!(
        "rpc_system_name=\"grpc\",rpc_method=\"{method}\",rpc_status_code=\"{code}\",error_type=\"{error}\""
    );
    let name = format!("rpc_{side}_call_duration_seconds_count{{{labels}");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name))?;
    line.rsplit(' ').next().unwrap().parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_code_is_in_span_line_and_metric() {
    let service = served();
    let mut client = Client::connect(service.api).await;
    for (code, _) in CODES {
        let text = match code {
            Code::Ok => "",
            _ => "100 % of it: zürich",
        };
        let answered = client.one("One", Ask::new(0, code, text)).await;
        let found = answered.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(found, code);
    }
    let lines = lines(&service, "/test.Calls/One", CODES.len());
    for (line, (_, name)) in lines.iter().zip(CODES) {
        let is_error = SERVER_ERRORS.contains(&name);
        assert_eq!(line["grpc_status"], name);
        assert_eq!(line["status"], 200);
        assert_eq!(line["route"], "/test.Calls/One");
        assert_eq!(
            line["level"],
            if is_error { "error" } else { "info" },
            "{line}"
        );
        let message = match name {
            "OK" => Value::Null,
            _ => "100 % of it: zürich".into(),
        };
        assert_eq!(line["grpc_message"], message);
        assert_eq!(line["error_type"], Value::Null);
        let (failed, error, label) = match is_error {
            true => ("failed ", format!(" error.type={name}"), name),
            false => ("", String::new(), ""),
        };
        assert_eq!(
            logged(&span(&service, line)),
            format!(
                "test.Calls/One {failed}rpc.system.name=grpc rpc.method=test.Calls/One rpc.status_code={name}{error}"
            )
        );
        assert_eq!(
            count(&service, "server", "test.Calls/One", name, label),
            Some(1)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_status_of_their_trailers() {
    let service = served();
    let mut client = Client::connect(service.api).await;
    let all = client.many("Many", Ask::new(3, Code::Ok, "")).await;
    assert_eq!(all.unwrap(), [1, 2, 3]);
    let failed = client
        .many("Many", Ask::new(2, Code::DataLoss, "half"))
        .await;
    let (numbers, status) = failed.unwrap_err();
    // messages after the failure of the handler are not delivered
    assert_eq!((numbers, status.code()), (vec![1, 2], Code::DataLoss));
    let many = lines(&service, "/test.Calls/Many", 2);
    assert_eq!(many[0]["grpc_status"], "OK");
    assert_eq!(many[1]["grpc_status"], "DATA_LOSS");
    assert_eq!(many[1]["grpc_message"], "half");
    assert_eq!(
        logged(&span(&service, &many[1])),
        "test.Calls/Many failed rpc.system.name=grpc rpc.method=test.Calls/Many rpc.status_code=DATA_LOSS error.type=DATA_LOSS"
    );

    let three = (1..=3).map(|number| Ask::new(number, Code::Ok, ""));
    assert_eq!(client.sum(three.collect(), false).await.unwrap(), 6);
    // answered before the client has sent everything
    let early = vec![
        Ask::new(1, Code::Ok, ""),
        Ask::new(0, Code::OutOfRange, "too much"),
    ];
    let status = client.sum(early, true).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    let sum = lines(&service, "/test.Calls/Sum", 2);
    assert_eq!(sum[0]["grpc_status"], "OK");
    assert_eq!(sum[1]["grpc_status"], "OUT_OF_RANGE");
    assert_eq!(
        count(&service, "server", "test.Calls/Sum", "OUT_OF_RANGE", ""),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_cancels_and_one_that_waited_had_a_deadline() {
    let service = served();
    let mut client = Client::connect(service.api).await;
    let ask = || Ask::new(0, Code::Ok, "");
    // before the head, once the service has received the call
    let admin = service.admin;
    let is_there = tokio::task::spawn_blocking(move || until_in_flight(admin, 1));
    tokio::select! {
        answer = client.one("Hang", ask()) => panic!("{answer:?}"),
        is_there = is_there => is_there.unwrap(),
    }
    let cancelled = lines(&service, "/test.Calls/Hang", 1);
    assert_eq!(cancelled[0]["grpc_status"], "CANCELLED");
    assert_eq!(cancelled[0]["status"], 499);
    assert_eq!(cancelled[0]["level"], "info");
    assert_eq!(
        logged(&span(&service, &cancelled[0])),
        "grpc rpc.system.name=grpc rpc.method=_OTHER rpc.method_original=test.Calls/Hang rpc.status_code=CANCELLED"
    );
    // between messages
    let mut stream = client
        .stream("Many", Ask::new(2, Code::Ok, "then waits"))
        .await
        .unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap().number, 1);
    drop(stream);
    let cancelled = lines(&service, "/test.Calls/Many", 1);
    assert_eq!(cancelled[0]["grpc_status"], "CANCELLED");

    // on a busy machine, a call that arrives late by more than a
    // twentieth of its timeout is cancelled before that is over
    let late = (2..12).find_map(|calls| {
        let timeout = Some(Duration::from_secs(1));
        let hanging = client.unary("Hang", ask(), &[], timeout);
        let late = tokio::task::block_in_place(|| Handle::current().block_on(hanging));
        assert!(late.is_err());
        let line = lines(&service, "/test.Calls/Hang", calls).pop();
        line.filter(|line| line["grpc_status"] == "DEADLINE_EXCEEDED")
    });
    let late = &late.expect("each was cancelled");
    assert_eq!(late["level"], "error");
    assert!(logged(&span(&service, late)).contains("error.type=DEADLINE_EXCEEDED"));
}

#[test]
fn a_client_that_is_lost_between_its_messages_cancels_and_is_no_failure_of_the_server() {
    let service = served();
    let mut client = tokio::runtime::Builder::new_multi_thread();
    let client = client.worker_threads(1).enable_all().build().unwrap();
    let address = service.api;
    client.spawn(async move {
        let asks = vec![Ask::new(1, Code::Ok, "")];
        Client::connect(address).await.sum(asks, true).await
    });
    until_in_flight(service.admin, 1);
    // drops its connection too
    client.shutdown_timeout(PATIENCE);
    let line = &lines(&service, "/test.Calls/Sum", 1)[0];
    assert_eq!(line["grpc_status"], "CANCELLED", "{line}");
    assert_eq!(line["level"], "info", "{line}");
    assert!(!logged(&span(&service, line)).contains("failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_unknown_and_a_status_that_is_none_too() {
    let service = served();
    let mut client = Client::connect(service.api).await;
    let ask = || Ask::new(0, Code::Ok, "");
    let status = client.one("Panic", ask()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unknown, "the handler failed")
    );
    let line = &lines(&service, "/test.Calls/Panic", 1)[0];
    assert_eq!(line["grpc_status"], "UNKNOWN");
    assert_eq!(line["level"], "error");
    assert!(logged(&span(&service, line)).starts_with("test.Calls/Panic failed"));

    let (_, status) = client.many("PanicLater", ask()).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    let line = &lines(&service, "/test.Calls/PanicLater", 1)[0];
    assert_eq!(line["grpc_status"], "UNKNOWN");
    assert_eq!(line["error_type"], "panic");

    let mut client = Client::connect(service.api).await;
    // above 16, not a number, and missing; a message as another server may encode it
    for headers in [
        &[("x-status", "17"), ("x-message", "a%20b%2")][..],
        &[("x-status", "many")],
        &[],
    ] {
        let status = client.unary("Raw", ask(), headers, None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unknown);
    }
    let raw = lines(&service, "/test.Calls/Raw", 3);
    let of = |at: usize| {
        let line: &Value = &raw[at];
        ["grpc_status", "grpc_message", "error_type"].map(|key| line[key].as_str().unwrap_or("-"))
    };
    assert_eq!(of(0), ["UNKNOWN", "a b%2", "-"]);
    assert_eq!(of(1), ["UNKNOWN", "-", "-"]);
    assert_eq!(of(2), ["UNKNOWN", "-", "missing_status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_clients_make_up_are_one_name() {
    let service = served();
    let mut client = Client::connect(service.api).await;
    for number in 0..3 {
        let method = format!("Made{number}");
        let status = client.one(&method, Ask::new(0, Code::Ok, "")).await;
        assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
    }
    let line = &lines(&service, "/test.Calls/Made1", 1)[0];
    assert_eq!(
        logged(&span(&service, line)),
        "grpc rpc.system.name=grpc rpc.method=_OTHER rpc.method_original=test.Calls/Made1 \
         rpc.status_code=UNIMPLEMENTED"
    );
    assert_eq!(
        count(&service, "server", "_OTHER", "UNIMPLEMENTED", ""),
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_service_reach_a_client_as_a_status_and_routes_stay_what_they_are() {
    let service = Start::new("serve")
        .env("GRPC", "1")
        .env("MAX_IN_FLIGHT", "1")
        .serve();
    let mut client = Client::connect(service.api).await;
    let held = client.stream("Many", Ask::new(1, Code::Ok, "then waits"));
    let mut held = held.await.unwrap();
    assert_eq!(held.message().await.unwrap().unwrap().number, 1);
    let status = client.one("One", Ask::new(0, Code::Ok, "")).await;
    let status = status.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "too many requests are in flight")
    );
    drop(held);
    lines(&service, "/test.Calls/Many", 1);
    assert_eq!(get(service.api, "/hello").body, "hello\n");
    assert_eq!(get(service.api, "/nowhere").status, 404);
    let mut other = Client::connect(service.api).await;
    let unknown = other
        .of("test.Other", "One", Ask::new(0, Code::Ok, ""))
        .await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);
}
