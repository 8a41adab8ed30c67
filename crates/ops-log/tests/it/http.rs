use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Limited;
use ops_http::{ObserveLayer, Route};
use ops_log::http::AccessLog;
use ops_log::{CapturedLine, Level, bind_context, capture_logs_of, info};
use tower::{Layer, ServiceExt};

async fn served(
    access: AccessLog,
    request: http::request::Builder,
    status: u16,
) -> (Response<()>, Vec<CapturedLine>) {
    crate::bridges::init();
    let service =
        ObserveLayer::new((access,)).layer(tower::service_fn(move |_: Request<()>| async move {
            tokio::task::yield_now().await;
            bind_context!(user_id = 456);
            info!("handled");
            let mut response = Response::new(String::from("body"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.extensions_mut().insert(Route::new("/api/{id}"));
            Ok::<_, std::convert::Infallible>(response)
        }));
    let call = async {
        let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        http_body_util::BodyExt::collect(body).await.unwrap();
        Response::from_parts(parts, ())
    };
    capture_logs_of(call).await
}

fn names(lines: &[CapturedLine]) -> Vec<&str> {
    lines.iter().map(|line| line.event.as_str()).collect()
}

#[tokio::test]
async fn the_access_line_carries_the_ids_what_was_served_and_what_the_handler_bound() {
    let request = Request::get("/api/7?secret=1")
        .header("x-request-id", "req-abc.1_2")
        .header("x-client", "acme-2");
    let (response, lines) = served(AccessLog::new().route_field(true), request, 200).await;
    assert_eq!(response.headers()["x-request-id"], "req-abc.1_2");
    assert_eq!(names(&lines), ["handled", "request_completed"]);
    assert!(
        lines[0]
            .json
            .ends_with(r#","request_id":"req-abc.1_2","client":"acme-2","user_id":456}"#),
        "{}",
        lines[0].json
    );
    let line = &lines[1];
    assert_eq!((line.level, line.logger.as_str()), (Level::Info, "it"));
    let start = r#","event":"request_completed","request_id":"req-abc.1_2","client":"acme-2","user_id":456,"method":"GET","path":"/api/7","route":"/api/{id}","status":200,"latency_ms":"#;
    let rest = &line.json[line.json.find(",\"event\"").unwrap()..];
    let latency = rest
        .strip_prefix(start)
        .unwrap_or_else(|| panic!("{rest}"))
        .trim_end_matches('}');
    assert!(latency.parse::<u64>().is_ok(), "{latency}");
}

#[tokio::test]
async fn ids_and_clients_that_are_not_plain_are_not_taken_over() {
    let long = "a".repeat(65);
    for (id, client) in [
        ("bad id", "Acme"),
        ("a\tb", "a b"),
        (long.as_str(), long.as_str()),
        ("", ""),
    ] {
        let request = Request::get("/")
            .header("x-request-id", id)
            .header("x-client", client);
        let (response, lines) = served(AccessLog::new(), request, 200).await;
        let made = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(made.starts_with("req-") && made.len() > 8, "{made}");
        assert_eq!(lines[1]["request_id"], made.as_str());
        assert_eq!(lines[1].get("client"), None);
    }
}

#[tokio::test]
async fn another_header_can_name_the_client() {
    let request = Request::get("/").header("x-tenant", "acme");
    let access = AccessLog::new().client_header(http::HeaderName::from_static("x-tenant"));
    let (_, lines) = served(access, request, 200).await;
    assert_eq!(lines[1]["client"], "acme");
}

#[tokio::test]
async fn probes_and_scrapes_are_quiet_unless_they_fail() {
    for path in ops_http::QUIET_ROUTES {
        let (_, lines) = served(AccessLog::new(), Request::get(*path), 503).await;
        assert_eq!(names(&lines), ["handled"]);
    }
    let (_, lines) = served(AccessLog::new(), Request::get("/healthz"), 500).await;
    assert_eq!(lines[1].level, Level::Error);
    let lines = failing("/healthz").await;
    assert_eq!(lines[0]["error_type"], "body_error");
}

/// Returns the lines of a response whose head is sent, and whose body fails.
async fn failing(path: &str) -> Vec<CapturedLine> {
    crate::bridges::init();
    let service = tower::service_fn(|_: Request<()>| async {
        // fails at its first frame, which is longer than allowed
        let body = Limited::new(String::from("longer"), 1);
        Ok::<_, std::convert::Infallible>(Response::new(body))
    });
    let service = ObserveLayer::new((AccessLog::new(),)).layer(service);
    let request = Request::get(path).body(()).unwrap();
    let ((), lines) = capture_logs_of(async {
        let response = service.oneshot(request).await.unwrap();
        let body = http_body_util::BodyExt::collect(response.into_body());
        assert!(body.await.is_err());
    })
    .await;
    lines
}

#[tokio::test]
async fn a_body_that_fails_after_its_head_keeps_the_status_and_is_an_error() {
    let lines = failing("/report").await;
    let line = &lines[0];
    assert_eq!(
        (line.event.as_str(), line.level),
        ("request_completed", Level::Error)
    );
    assert_eq!(line["status"], 200);
    assert_eq!(line["error_type"], "body_error");
    let (_, lines) = served(AccessLog::new(), Request::get("/"), 503).await;
    assert_eq!(lines[1].get("error_type"), None, "the status says it");
}

#[tokio::test]
async fn a_client_that_goes_away_is_reported_as_499() {
    crate::bridges::init();
    let service =
        ObserveLayer::new((AccessLog::new(),)).layer(tower::service_fn(|_: Request<()>| async {
            bind_context!(half = true);
            std::future::pending::<()>().await;
            Ok::<_, std::convert::Infallible>(Response::new(String::new()))
        }));
    let ((), lines) = capture_logs_of(async {
        let call = service.oneshot(Request::new(()));
        assert!(
            tokio::time::timeout(Duration::from_millis(5), call)
                .await
                .is_err()
        );
    })
    .await;
    assert_eq!(lines[0]["status"], 499);
    assert_eq!(lines[0]["half"], true);
}

#[tokio::test]
async fn fields_that_come_with_a_request_are_on_its_lines_bounded_and_redacted() {
    fn came() -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut fields = vec![
            pair("tenant", "acme \"1\"\nü"),
            pair("request_id", "made up"),
            pair("password", "hunter2"),
            pair("note", &"x".repeat(300)),
        ];
        fields.extend((0..20).map(|number| pair(&format!("more{number}"), "")));
        fields
    }
    let request = Request::get("/api/7").header("x-request-id", "req-1");
    let (_, lines) = served(AccessLog::new().fields_from(came), request, 200).await;
    assert_eq!(names(&lines), ["handled", "request_completed"]);
    for line in &lines {
        let json: serde_json::Value = serde_json::from_str(&line.json).unwrap();
        assert_eq!(json["tenant"], "acme \"1\"\nü");
        assert_eq!(json["request_id"], "req-1");
        assert_ne!(json["password"], "hunter2");
        assert_eq!(json["note"].as_str().unwrap().len(), 256);
        assert!(
            json["more11"].is_string() && json["more12"].is_null(),
            "{json}"
        );
    }
    fn cut() -> Vec<(String, String)> {
        vec![("note".to_owned(), format!("{}{CUT}", "x".repeat(240)))]
    }
    const CUT: &str = "value-that-a-cut-goes-through";
    ops_log::redact(CUT);
    let request = Request::get("/api/7");
    let (_, lines) = served(AccessLog::new().fields_from(cut), request, 200).await;
    for line in &lines {
        assert!(!line.json.contains(&CUT[..8]), "{}", line.json);
    }
    fn panics() -> Vec<(String, String)> {
        panic!("on purpose")
    }
    let request = Request::get("/api/7");
    let (_, lines) = served(AccessLog::new().fields_from(panics), request, 200).await;
    let events = names(&lines);
    assert_eq!(events.last(), Some(&"request_completed"), "{events:?}");
}

#[tokio::test]
async fn a_session_that_is_part_of_a_path_is_on_no_line() {
    let request = Request::get("/cart;jsessionid=8A2F;v=1/items");
    let (_, lines) = served(AccessLog::new(), request, 200).await;
    let access = &lines[1].json;
    assert!(
        access.contains(r#""path":"/cart;jsessionid=[REDACTED];v=1/items""#),
        "{access}"
    );
}
