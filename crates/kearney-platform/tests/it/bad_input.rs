use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::served::{Answer, Home};

/// Invalid requests, each with the invalid parameter and part of the text about accepted values.
const REFUSED: &[(&str, &str, &str)] = &[
    ("/api/flights/summary", "origin", "3 letters"),
    ("/api/flights/summary?origin=", "origin", "3 letters"),
    ("/api/flights/summary?origin=S%00O", "origin", "3 letters"),
    (
        "/api/flights/summary?origin=%27%3B--",
        "origin",
        "3 letters",
    ),
    (
        "/api/flights/summary?origin=SFO&month=13",
        "month",
        "1 to 12",
    ),
    (
        "/api/flights/summary?origin=SFO&month=-1",
        "month",
        "1 to 12",
    ),
    (
        "/api/flights/summary?origin=SFO&month=1.5",
        "month",
        "1 to 12",
    ),
    (
        "/api/flights/summary?origin=SFO&month=1&month=2",
        "month",
        "one value",
    ),
    (
        "/api/flights/summary?origin=SFO&year=2001",
        "year",
        "origin and month",
    ),
    ("/api/isochrone", "lat", "-90 to 90"),
    ("/api/isochrone?lat=91&lon=0&minutes=5", "lat", "-90 to 90"),
    ("/api/isochrone?lat=NaN&lon=0&minutes=5", "lat", "-90 to 90"),
    (
        "/api/isochrone?lat=1&lon=inf&minutes=5",
        "lon",
        "-180 to 180",
    ),
    ("/api/isochrone?lat=1&lon=1", "minutes", "1 to 60"),
    (
        "/api/isochrone?lat=1&lon=1&minutes=61",
        "minutes",
        "1 to 60",
    ),
    (
        "/api/isochrone?lat=1&lon=1&minutes=5&mode=flying",
        "mode",
        "walking",
    ),
    (
        "/api/isochrone?lat=1&lon=1&minutes=5&token=x",
        "token",
        "lat, lon",
    ),
    ("/api/orchestrator/runs/x?limit=1", "limit", "no parameter"),
    ("/api/registry/models?limit=1", "limit", "no parameter"),
    ("/api/registry/datasets?name=acme", "name", "no parameter"),
    ("/api/orchestrator/runs?limit=0", "limit", "1 to 100"),
    ("/api/orchestrator/runs?limit=101", "limit", "1 to 100"),
    ("/api/orchestrator/runs?before=x", "before", "run_id"),
    ("/api/orchestrator/runs?status=good", "status", "queued"),
    ("/api/airports", "near", "latitude,longitude"),
    ("/api/airports?near=37.6", "near", "latitude,longitude"),
    ("/api/airports?near=NaN,1", "near", "latitude,longitude"),
    ("/api/airports?near=91,0", "near", "latitude,longitude"),
    ("/api/airports?near=1,1&limit=0", "limit", "1 to 100"),
    (
        "/api/airports?near=1,1&limit=99999999999999999999",
        "limit",
        "1 to 100",
    ),
];

fn problem(answer: &Answer) -> serde_json::Value {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(
        problem["status"].as_u64().unwrap(),
        u64::from(answer.status)
    );
    problem
}

#[test]
fn a_wrong_parameter_is_named_with_what_it_takes() {
    let served = Home::new().serve();
    for &(path, parameter, accepts) in REFUSED {
        let answer = served.get(path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        let problem = problem(&answer);
        assert_eq!(problem["parameter"], parameter, "{path}");
        let printed = problem["accepts"].as_str().unwrap();
        assert!(printed.contains(accepts), "{path}: {printed}");
    }
}

#[test]
fn a_wrong_body_path_or_method_is_a_problem_too() {
    let served = Home::new().serve();
    let key = ("X-API-Key", "kearney-registry-key");
    for (body, parameter) in [
        ("", "body"),
        ("{", "body"),
        (r#"{"name": "x"}"#, "body"),
        (r#"{"name": "x", "version": "1", "color": "red"}"#, "body"),
        (r#"{"name": "  ", "version": "1"}"#, "name"),
        (r#"["x", "1"]"#, "body"),
    ] {
        let answer = served.post("/api/registry/models", &[key], body);
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(problem(&answer)["parameter"], parameter, "{body}");
    }
    for body in [
        r#"{"job": "nothing"}"#,
        r#"{"client": "acme"}"#,
        r#"{"job": "load", "client": "../x"}"#,
        r#"{"job": "load", "when": "now"}"#,
        r#"["load", null]"#,
        r#"{"job": {"load": null}}"#,
    ] {
        let answer = served.post("/api/orchestrator/runs", &[key], body);
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(problem(&answer)["parameter"], "body", "{body}");
    }
    assert_eq!(
        problem(&served.get("/api/orchestrator/runs/7"))["status"],
        404
    );
    let long = format!(r#"{{"name": "{}", "version": "1"}}"#, "n".repeat(101));
    assert_eq!(
        served.post("/api/registry/models", &[key], &long).status,
        400
    );
    let elsewhere = served.post("/api/registry/models?name=x", &[key], "");
    assert_eq!(problem(&elsewhere)["parameter"], "name");
    let huge = "x".repeat(3 << 20);
    for (path, accepted) in [
        ("/api/registry/models", "at most 8192 bytes"),
        ("/api/orchestrator/runs", "at most 1024 bytes"),
    ] {
        let refused = served.post(path, &[key], &huge);
        assert_eq!(refused.status, 413);
        let detail = problem(&refused)["detail"].to_string();
        assert!(detail.contains(accepted), "{detail}");
    }
    assert_eq!(problem(&served.get("/assets/%FF"))["status"], 404);
    assert_eq!(problem(&served.get("/api/nothing"))["status"], 404);
    assert_eq!(problem(&served.post("/healthz", &[], ""))["status"], 405);
}

#[test]
fn a_level_is_changed_for_a_reason_and_for_a_time() {
    let served = Home::new().serve();
    for (body, status, printed) in [
        (
            r#"{"level": "debug", "why": " "}"#,
            400,
            "why must not be empty",
        ),
        (
            r#"{"level": "debug", "why": "w", "ttl_seconds": 0}"#,
            400,
            "at least 1",
        ),
        (r#"{"level": "loud", "why": "w"}"#, 400, "debug"),
        (
            r#"{"level": "debug", "why": "w", "ttl_seconds": 60}"#,
            200,
            "level is debug for 60 seconds",
        ),
        (
            r#"{"level": "debug", "why": "w", "target": "api"}"#,
            200,
            "level of api is debug for 900 seconds",
        ),
    ] {
        let answer = served.change_level(body);
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body.contains(printed), "{body}: {}", answer.body);
    }
}

#[test]
fn hostile_requests_get_an_answer_and_leave_the_platform_well() {
    let served = Home::new().serve();
    let long = format!("/api/flights/summary?origin={}", "A".repeat(20_000));
    assert!(matches!(served.get(&long).status, 400 | 414 | 431));
    assert!(served.get("/assets/..%2f..%2fetc%2fpasswd").status == 404);
    assert_eq!(served.get("/%FF%FE").status, 404);
    assert_eq!(served.get("/readyz").status, 200);
}

#[test]
fn who_has_no_key_is_refused_before_the_body_is_read() {
    let served = Home::new().serve();
    let address = served.api.trim_start_matches("http://");
    let head =
        "POST /api/registry/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2097152\r\n\r\n";
    let mut held: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            // stops before the end of the body
            let _ = stream.write_all(&[b'x'; 10_000]);
            stream
        })
        .collect();
    for stream in &mut held {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
        let mut rest = [0; 4096];
        // closed, by an end of stream or a reset
        while stream.read(&mut rest).is_ok_and(|bytes| bytes > 0) {}
    }
    let key = ("X-API-Key", "kearney-registry-key");
    let large = format!(
        r#"{{"name": "n", "version": "1", "description": "{}"}}"#,
        "d".repeat(20_000)
    );
    assert_eq!(
        served.post("/api/registry/models", &[key], &large).status,
        413
    );
}
