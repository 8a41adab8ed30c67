use std::net::TcpListener;

use crate::client::{get, request};
use crate::process::Start;

const TOKEN: &str = "a-token-of-16-chars-or-more";

#[test]
fn an_address_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let reason = Start::new("serve")
        .env("OPS_ADMIN_ADDR", &address)
        .refused();
    assert!(
        reason.contains("OPS_ADMIN_ADDR") && reason.contains(&address),
        "{reason}"
    );
    let port = taken.local_addr().unwrap().port().to_string();
    let reason = Start::new("serve").env("PORT", port).refused();
    assert!(
        reason.contains("PORT") && reason.contains(&address),
        "{reason}"
    );
}

#[test]
fn a_wrong_variable_is_named_with_what_it_takes() {
    for (name, value, accepts) in [
        ("PORT", "80000", "0 to 65535"),
        ("HOST", "my-laptop", "an IP address"),
        ("OPS_ADMIN_ADDR", "8001", "127.0.0.1:8001"),
        ("OPS_GRACE_SECONDS", "-1", "number of seconds"),
        ("OPS_SHUTDOWN_SECONDS", "soon", "number of seconds"),
        ("OPS_ADMIN_TOKEN", "short", "at least 16"),
    ] {
        let reason = Start::new("serve").env(name, value).refused();
        assert!(
            reason.contains(name) && reason.contains(accepts),
            "{reason}"
        );
        assert_eq!(reason.matches(accepts).count(), 1, "{reason}");
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let service = Start::new("serve")
        .env("HOST", "")
        .env("OPS_GRACE_SECONDS", "")
        .env("OPS_ADMIN_TOKEN", "")
        .env("OPS_ADMIN_TOKEN_FILE", "")
        .env("OTEL_SERVICE_NAME", "")
        .env("LISTEN_FDS", "")
        .env("NOTIFY_SOCKET", "")
        .serve();
    assert!(service.api.ip().is_loopback());
    assert_eq!(get(service.admin, "/api/state").status, 200);
    let (status, log) = service.stop();
    assert!(status.success());
    assert!(!log.contains("service_manager_not_reached"), "{log}");
}

#[test]
fn levels_of_64_targets_are_changed_at_a_time_and_one_more_is_refused() {
    let service = Start::new("serve").serve();
    let known = "X-Ops-Admin: 1\r\nContent-Type: application/json\r\n";
    let change = |number: usize| {
        let body = format!(r#"{{"level": "debug", "why": "load", "target": "t{number}"}}"#);
        request(service.admin, "POST", "/api/level", known, body.as_bytes())
    };
    for number in 0..200 {
        let answer = change(number);
        let expected = if number < 64 { 200 } else { 409 };
        assert_eq!(answer.status, expected, "{number}: {}", answer.body);
        if number >= 64 {
            assert!(answer.body.contains("64 targets"), "{}", answer.body);
        }
    }
    // a changed target may be changed again
    assert_eq!(change(7).status, 200);
    assert!(service.stop().0.success());
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let open = Start::new("serve").env("OPS_ADMIN_ADDR", "0.0.0.0:0");
    let reason = open.refused();
    assert!(reason.contains("OPS_ADMIN_TOKEN"), "{reason}");

    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    // a file to which the secret was not written yet
    let empty = Start::new("serve").env("OPS_ADMIN_TOKEN_FILE", path);
    let reason = empty.refused();
    assert!(
        reason.contains(&format!("OPS_ADMIN_TOKEN_FILE: {path}: must have")),
        "{reason}"
    );
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let guarded = Start::new("serve")
        .env("OPS_ADMIN_ADDR", "0.0.0.0:0")
        .env("OPS_ADMIN_TOKEN_FILE", file.path().to_str().unwrap())
        .serve();
    let mut address = guarded.admin;
    address.set_ip([127, 0, 0, 1].into());
    assert_eq!(get(address, "/healthz").status, 200);
    for path in ["/", "/api/state", "/readyz", "/metrics", "/nowhere"] {
        let refused = get(address, path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(
            refused.header("www-authenticate").contains("Basic"),
            "{}",
            refused.head
        );
        assert_eq!(refused.header("cache-control"), "no-store");
    }
    let known = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(
        request(address, "GET", "/api/state", &known, b"").status,
        200
    );
    for _ in 0..8 {
        let wrong = "Authorization: Bearer wrong\r\n";
        assert_eq!(
            request(address, "GET", "/api/state", wrong, b"").status,
            401,
            "loopback"
        );
    }
    let (status, log) = guarded.stop();
    assert!(status.success());
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_loopback_address_needs_no_token_however_it_is_written() {
    let mapped = "[::ffff:127.0.0.1]:0";
    if TcpListener::bind(mapped).is_err() {
        return; // this machine has no IPv6
    }
    let service = Start::new("serve").env("OPS_ADMIN_ADDR", mapped).serve();
    assert_eq!(get(service.admin, "/api/state").status, 200);
}
