//! gRPC calls as requests: each is counted once, and a failed one is an error whatever its HTTP status.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use ops_http::{GrpcCode, ObserveLayer};
use ops_metrics::http::RedMetrics;
use ops_metrics::testing::Registry;
use ops_metrics::{RouteSummary, Window, latency_over, routes_over, sparklines_over};
use tower::{Layer as _, ServiceExt as _, service_fn};

type Answer = fn() -> Response<Body>;

/// Returns a response with a message, and this status in the trailers.
fn trailers(code: usize) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    let message = Full::new(Bytes::from_static(&[0; 5]));
    let body = message.with_trailers(std::future::ready(Some(Ok::<_, Infallible>(trailers))));
    Response::new(Body::new(body))
}

/// Returns a response with this HTTP status, without anything of gRPC.
fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Returns a response with this HTTP status and a body that breaks off.
fn breaks_off(status: StatusCode) -> Response<Body> {
    let (mut sender, body) = http_body_util::channel::Channel::<Bytes, std::io::Error>::new(2);
    drop(sender.try_send(Frame::data(Bytes::from_static(b"first"))));
    sender.abort(std::io::ErrorKind::BrokenPipe.into());
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    response
}

/// Sends a call that gets this response, and reads the whole response.
async fn call(method: &str, answer: impl Fn() -> Response<Body>) {
    let service = service_fn(|_| std::future::ready(Ok::<_, Infallible>(answer())));
    let service = ObserveLayer::new((RedMetrics::new(),)).layer(service);
    let request = Request::post(format!("/{method}")).header("content-type", "application/grpc");
    let Ok(response) = service.oneshot(request.body(Body::empty()).unwrap()).await;
    drop(response.into_body().collect().await);
}

#[tokio::test]
async fn a_call_that_did_not_fail_is_read_without_an_error_type() {
    crate::installed();
    let registry = Registry::new();
    let calls = async {
        call("read.Calls/Fine", || trailers(0)).await;
        call("read.Calls/Broken", || trailers(13)).await;
    };
    registry.scope(calls).await;
    let mut read = Vec::new();
    registry.run(|| {
        ops_metrics::read(&mut |series| {
            if series.definition.name == "rpc_server_call_duration_seconds" {
                let labels = series
                    .labels
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"));
                read.push(labels.collect::<Vec<_>>().join(" "));
            }
        })
        .unwrap();
    });
    let call = |method, code| {
        format!("rpc_system_name=grpc rpc_method=read.Calls/{method} rpc_status_code={code}")
    };
    let broken = call("Broken", "INTERNAL") + " error_type=INTERNAL";
    assert_eq!(read, [broken, call("Fine", "OK")]);
}

/// Runs the calls in one second, and returns the ratio of errors and the routes. Each request has the same latency.
async fn second(registry: Registry, calls: impl Future<Output = ()>) -> (f64, Vec<RouteSummary>) {
    registry.tick(Duration::ZERO);
    registry.scope(calls).await;
    registry.tick(Duration::from_secs(1));
    registry.run(|| {
        let lines = sparklines_over(Window::FiveMinutes);
        let line = |name| lines.iter().find(|line| line.name == name).unwrap();
        let rate = line("requests_per_second").points[0].unwrap();
        let count = latency_over(Window::FiveMinutes).count() as f64;
        assert!((rate - count).abs() < 1e-9, "{rate} {count}");
        let ratio = line("error_ratio").points[0].unwrap();
        (ratio, routes_over(Window::FiveMinutes))
    })
}

#[tokio::test]
async fn a_status_that_blames_the_server_is_one_error_of_its_method() {
    let registry = Registry::new();
    let calls = async {
        for code in 0..GrpcCode::ALL.len() {
            call("calls.Each/Code", || trailers(code)).await;
        }
    };
    let (ratio, routes) = second(registry, calls).await;
    assert!((ratio - 6.0 / 17.0).abs() < 1e-9, "{ratio}");
    let [route] = &routes[..] else {
        panic!("{routes:?}");
    };
    assert_eq!((route.route, route.method), ("/calls.Each/Code", "POST"));
    assert_eq!((route.requests, route.errors), (17, 6));
    assert_eq!((route.client_errors, route.latency.count()), (0, 17));
    for code in GrpcCode::ALL {
        let series = format!(
            r#"http_response_failures_total{{route="/calls.Each/Code",method="POST",error_type="{}"}}"#,
            code.name()
        );
        let failed = registry.value(&series).unwrap_or_default();
        assert_eq!(failed == 1.0, code.is_server_error(), "{code:?}: {failed}");
    }
}

#[tokio::test]
async fn a_call_that_fails_in_two_ways_is_one_error() {
    let ways: [(&str, Answer); 5] = [
        ("calls.Twice/Status", || {
            bare(StatusCode::SERVICE_UNAVAILABLE)
        }),
        ("calls.Twice/Trailers", || {
            let mut response = trailers(13);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }),
        ("calls.Twice/Body", || breaks_off(StatusCode::BAD_GATEWAY)),
        ("calls.Twice/Head", || breaks_off(StatusCode::OK)),
        ("calls.Twice/Missing", || bare(StatusCode::OK)),
    ];
    for (method, answer) in ways {
        let registry = Registry::new();
        let calls = async {
            for _ in 0..3 {
                call(method, || trailers(0)).await;
            }
            call(method, answer).await;
        };
        let (ratio, routes) = second(registry, calls).await;
        assert!((ratio - 0.25).abs() < 1e-9, "{method}: {ratio}");
        let [route] = &routes[..] else {
            panic!("{routes:?}");
        };
        assert_eq!((route.requests, route.errors), (4, 1), "{method}");
    }
}

#[tokio::test]
async fn a_failing_call_of_the_health_service_is_no_error() {
    let registry = Registry::new();
    let calls = async {
        call("grpc.health.v1.Health/Check", || trailers(13)).await;
        call("calls.Quiet/One", || trailers(0)).await;
    };
    let (ratio, routes) = second(registry, calls).await;
    assert_eq!((ratio, routes.len()), (0.0, 1), "{routes:?}");
}

#[tokio::test]
async fn what_any_client_can_ask_for_is_no_error_of_the_server() {
    let ways: [(&str, Answer); 7] = [
        ("made.Up/Method", || bare(StatusCode::NOT_FOUND)),
        ("made.Up/Trailers", || {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert("grpc-status", 12.into());
            response
        }),
        ("calls.Known/One", || bare(StatusCode::NOT_FOUND)),
        ("calls.Known/One", || bare(StatusCode::BAD_REQUEST)),
        ("calls.Known/One", || bare(StatusCode::TOO_MANY_REQUESTS)),
        ("calls.Known/One", || bare(StatusCode::PAYLOAD_TOO_LARGE)),
        ("calls.Known/One", || {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert("grpc-status", 14.into());
            response.extensions_mut().insert(ops_http::RefusedCall);
            response
        }),
    ];
    for (method, answer) in ways {
        let registry = Registry::new();
        let calls = async {
            call("calls.Known/One", || trailers(0)).await;
            call(method, answer).await;
        };
        let (ratio, routes) = second(registry, calls).await;
        assert_eq!(ratio, 0.0, "{method}: {routes:?}");
        assert!(routes.iter().all(|route| route.errors == 0), "{routes:?}");
        let text = registry.render();
        let failed = text.lines().filter(|line| {
            line.starts_with("rpc_server_call_duration_seconds_count")
                && !line.contains("error_type=\"\"")
        });
        assert_eq!(failed.count(), 0, "{text}");
    }
}

#[tokio::test]
async fn a_stream_that_its_client_always_ends_is_counted_under_its_method() {
    let registry = Registry::new();
    let streams = async {
        leave("calls.Endless/Message", "application/grpc+proto", 1).await;
        leave("calls.Endless/Head", "application/grpc", 0).await;
        // not a service of gRPC, so that any name gets this
        leave("calls.Endless/Page", "text/html", 1).await;
    };
    registry.scope(streams).await;
    let text = registry.render();
    for method in ["calls.Endless/Message", "calls.Endless/Head", "_OTHER"] {
        let series = format!(
            r#"_count{{rpc_system_name="grpc",rpc_method="{method}",rpc_status_code="CANCELLED",error_type=""}} 1"#
        );
        assert!(text.contains(&series), "{method}: {text}");
    }
}

/// Sends a call, and leaves the endless response after this number of messages.
async fn leave(method: &str, kind: &'static str, messages: usize) {
    let service = service_fn(|_| {
        let (mut sender, body) = http_body_util::channel::Channel::<Bytes>::new(2);
        let message = Frame::data(Bytes::from_static(&[0; 5]));
        sender.try_send(message).unwrap();
        let mut response = Response::new(Body::new(body));
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert("content-type", kind);
        std::mem::forget(sender); // the body does not end
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let service = ObserveLayer::new((RedMetrics::new(),)).layer(service);
    let request = Request::post(format!("/{method}")).header("content-type", "application/grpc");
    let Ok(response) = service.oneshot(request.body(Body::empty()).unwrap()).await;
    let mut body = response.into_body();
    for _ in 0..messages {
        assert!(body.frame().await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_status_of_5xx_is_an_error_whatever_the_call_says() {
    let registry = Registry::new();
    let calls = async {
        call("calls.Known/One", || {
            let mut response = trailers(5);
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        })
        .await;
    };
    let (ratio, _) = second(registry, calls).await;
    assert_eq!(ratio, 1.0);
    let text = registry.render();
    assert!(text.contains(r#"error_type="NOT_FOUND""#), "{text}");
    assert!(!text.contains("http_response_failures_total{"), "{text}");
}
