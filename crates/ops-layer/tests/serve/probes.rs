use crate::client::{get, request, until};
use crate::process::Start;

#[test]
fn probes_and_scrapes_are_answered_beside_the_routes() {
    let service = Start::new("serve").serve();
    for (path, status, body) in [
        ("/hello", 200, "hello\n"),
        ("/healthz", 200, "ok\n"),
        ("/livez", 200, "ok\n"),
        ("/readyz", 200, "ready\n"),
        ("/nowhere", 404, ""),
    ] {
        let answer = get(service.api, path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "{path}"
        );
    }
    assert_eq!(
        get(service.api, "/readyz").header("cache-control"),
        "no-store"
    );
    let refused = request(service.api, "POST", "/livez", "", b"");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, "GET, HEAD")
    );
    let hello = "http_requests_total{route=\"/hello\",method=\"GET\",status=\"200\"} 1\n";
    let scraped = until(
        || get(service.api, "/metrics"),
        |answer| answer.body.contains(hello),
    );
    assert_eq!(scraped.status, 200);
    // a probe has its route whatever the response is; only unknown paths are unmatched
    for counted in [
        "route=\"/livez\",method=\"POST\",status=\"405\"} 1\n",
        "route=\"unmatched\",method=\"GET\",status=\"404\"} 1\n",
    ] {
        assert!(scraped.body.contains(counted), "{}", scraped.body);
    }
    let unmatched = "http_requests_total{route=\"unmatched\"";
    assert_eq!(scraped.body.matches(unmatched).count(), 1);
    assert!(service.stop().0.success());
}

#[test]
fn the_environment_names_the_service_in_its_lines_and_on_its_page() {
    let service = Start::new("serve")
        .env("OTEL_SERVICE_NAME", "renamed")
        .serve();
    assert_eq!(get(service.api, "/hello").status, 200);
    let state = get(service.admin, "/api/state").body;
    assert!(state.contains("\"renamed\""), "{state}");
    let (status, log) = service.stop();
    assert!(status.success());
    let line = log.lines().find(|line| line.contains("request_completed"));
    assert!(line.unwrap().contains("\"logger\":\"renamed\""), "{log}");
}

#[test]
fn a_request_has_one_trace_id_in_its_response_its_line_and_its_span() {
    let service = Start::new("serve").serve();
    let parent = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("traceparent: 00-{parent}-00f067aa0ba902b7-01\r\n");
    let answer = request(service.api, "GET", "/hello", &header, b"");
    assert!(
        answer.header("traceresponse").contains(parent),
        "{}",
        answer.head
    );
    until(
        || get(service.admin, "/api/state"),
        |state| state.body.contains(&format!("\"trace_id\":\"{parent}\"")),
    );
    let (status, log) = service.stop();
    assert!(status.success());
    let line = log
        .lines()
        .find(|line| line.contains("request_completed"))
        .unwrap();
    assert!(
        line.contains(&format!("\"trace_id\":\"{parent}\"")),
        "{line}"
    );
}

#[test]
fn a_panic_of_a_handler_is_answered_and_the_service_goes_on() {
    let service = Start::new("serve").serve();
    let answer = get(service.api, "/panic");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["detail"], "the handler failed");
    assert_eq!(get(service.api, "/hello").status, 200);
}

#[test]
fn a_panic_of_the_function_that_gets_the_addresses_ends_nothing_else() {
    let service = Start::new("serve").env("LISTENING_PANICS", "1").serve();
    assert_eq!(get(service.api, "/hello").status, 200);
    let (status, log) = service.stop();
    assert!(status.success(), "{status}: {log}");
    assert_eq!(log.matches("\"event\":\"panic\"").count(), 1, "{log}");
}

#[test]
fn a_check_that_fails_is_not_ready_and_its_reason_is_on_the_admin_page_and_in_the_log() {
    let service = Start::new("serve").serve();
    let set = |state: &str| request(service.api, "POST", &format!("/health/{state}"), "", b"");
    for (state, status, reason) in [
        ("1", 200, "one replica is left"),
        ("2", 503, "no replica is left"),
        ("3", 503, "the check panicked"),
        ("4", 503, "timed out after 200ms"),
        ("0", 200, "\"state\":\"ready\""),
    ] {
        assert_eq!(set(state).status, 200);
        let on_page = until(
            || get(service.admin, "/api/state"),
            |answer| answer.body.contains(reason),
        );
        assert!(on_page.body.contains("\"checks\":"), "{}", on_page.body);
        let public = until(
            || get(service.api, "/readyz"),
            |answer| answer.status == status,
        );
        assert!(!public.body.contains("replica"), "{}", public.body);
        let operator = get(service.admin, "/readyz");
        assert_eq!(operator.status, status);
        assert_eq!(
            operator.body.contains(reason),
            status == 503,
            "{}",
            operator.body
        );
    }
    let (status, log) = service.stop();
    assert!(status.success());
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let changes =
        lines.filter(|line| line["event"] == "checks_failing" || line["event"] == "checks_passing");
    let mut changes: Vec<_> = changes
        .map(|line| (line["event"].clone(), line["reason"].clone()))
        .collect();
    // a slow run has one more line per minute
    changes.dedup_by(|next, before| next.0 == before.0);
    let reason = "warehouse: no replica is left".into();
    assert_eq!(
        changes,
        [
            ("checks_failing".into(), reason),
            ("checks_passing".into(), serde_json::Value::Null)
        ]
    );
}

#[test]
fn checks_that_answer_late_do_not_fail_after_those_that_were_asked_after_them() {
    let service = Start::new("serve").env("HEALTH", "5").serve();
    until(
        || get(service.api, "/readyz"),
        |_| service.log().contains("asked_again"),
    );
    let (status, log) = service.stop();
    assert!(status.success(), "{status}");
    assert!(!log.contains("checks_"), "{log}");
}

#[test]
fn a_service_whose_checks_have_not_answered_yet_is_not_shown_as_a_healthy_one() {
    // the check never responds
    let service = Start::new("serve").env("HEALTH", "4").serve();
    let first = get(service.admin, "/api/state").body;
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_ne!(first["verdict"]["state"], "ok", "{first:#}");
    let check = &first["checks"][0];
    assert_eq!(check["name"], "warehouse", "{first:#}");
    assert_ne!(check["state"], "ready", "{first:#}");
}
