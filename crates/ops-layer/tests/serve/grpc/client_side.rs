//! Calls that a service makes: it calls itself, or an address where nothing listens.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::Path;
use ops_layer::Ops;
use tonic::Code;
use tonic::transport::Channel;
use tower::Layer;

use super::calls::{Ask, Client};
use super::{count, lines, logged, served};
use crate::client::get;
use crate::process::Process;

pub(crate) static OPS: OnceLock<Ops> = OnceLock::new();

/// Makes one call, as a handler of the service, and returns the code that its client got.
pub(crate) async fn call(Path((port, method, code)): Path<(u16, String, i32)>) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = OPS
        .get()
        .unwrap()
        .http_client()
        .layer(channel.connect_lazy());
    let mut client = Client::to(channel, address);
    let code = Code::from_i32(code);
    let timeout = (method == "Hang").then_some(Duration::from_millis(200));
    let answered = match method.as_str() {
        "Many" => {
            let read = client.many(&method, Ask::new(2, code, "on purpose")).await;
            read.map(|_| 0).map_err(|(_, status)| status)
        }
        "Dropped" => {
            let stream = client.stream("Many", Ask::new(1, code, "then waits")).await;
            stream.map(|_| 0)
        }
        _ => {
            client
                .unary(&method, Ask::new(0, code, "on purpose"), &[], timeout)
                .await
        }
    };
    match answered {
        Ok(_) => "Ok".to_owned(),
        Err(status) => format!("{:?}", status.code()),
    }
}

/// Makes the service send a call; returns the span of the call.
fn span_of(service: &Process, port: u16, method: &str, code: Code) -> String {
    let path = format!("/call/{port}/{method}/{}", code as i32);
    assert_eq!(get(service.api, &path).status, 200);
    let line = lines(service, &path, 1).remove(0);
    let asked = std::time::Instant::now();
    loop {
        let path = format!("/api/traces/{}", line["trace_id"].as_str().unwrap());
        let trace = get(service.admin, &path).body;
        let found: serde_json::Value = serde_json::from_str(&trace).unwrap_or_default();
        let spans = found["waterfall"].as_array().cloned().unwrap_or_default();
        let wanted = |pair: &serde_json::Value| {
            pair[0] == "server.port" && pair[1] == port.to_string().as_str()
        };
        // the root is the request that triggered the call
        let of_client = |span: &&serde_json::Value| {
            let mut attributes = span["attributes"].as_array().unwrap().iter();
            attributes.any(wanted)
        };
        if let Some(span) = spans.iter().skip(1).find(of_client) {
            return logged(span);
        }
        assert!(asked.elapsed() < crate::client::PATIENCE, "{trace}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_sent_have_spans_and_metrics_of_their_own() {
    let service = served();
    let port = service.api.port();
    let of = |method: &str, rest: &str| format!("test.Calls/{method} {rest}");
    let common = |method: &str| {
        format!("rpc.system.name=grpc rpc.method=test.Calls/{method} rpc.status_code=")
    };
    assert_eq!(
        span_of(&service, port, "One", Code::Ok),
        of("One", &format!("{}OK", common("One")))
    );
    // a response that is not an error for a server is one for its client
    assert_eq!(
        span_of(&service, port, "One", Code::NotFound),
        of(
            "One",
            &format!("failed {}NOT_FOUND error.type=NOT_FOUND", common("One"))
        )
    );
    assert_eq!(
        span_of(&service, port, "Many", Code::Aborted),
        of(
            "Many",
            &format!("failed {}ABORTED error.type=ABORTED", common("Many"))
        )
    );
    assert_eq!(
        span_of(&service, port, "Dropped", Code::Ok),
        of(
            "Many",
            &format!("failed {}CANCELLED error.type=CANCELLED", common("Many"))
        )
    );
    assert_eq!(
        span_of(&service, port, "Hang", Code::Ok),
        of(
            "Hang",
            &format!(
                "failed {}DEADLINE_EXCEEDED error.type=DEADLINE_EXCEEDED",
                common("Hang")
            )
        )
    );
    // nothing listens there
    assert_eq!(
        span_of(&service, 9, "One", Code::Ok),
        of(
            "One",
            &format!(
                "failed {}UNAVAILABLE error.type=connection_refused",
                common("One")
            )
        )
    );
    for (method, code, error) in [
        ("One", "OK", ""),
        ("One", "NOT_FOUND", "NOT_FOUND"),
        ("Many", "ABORTED", "ABORTED"),
        ("Many", "CANCELLED", "CANCELLED"),
        ("Hang", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
        ("One", "UNAVAILABLE", "connection_refused"),
    ] {
        let method = format!("test.Calls/{method}");
        let counted = count(&service, "client", &method, code, error);
        assert_eq!(counted, Some(1), "{method} {code}");
    }
}
