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
fn an_address_that_others_reach_needs_a_token() {
    let open = Start::new("serve").env("OPS_ADMIN_ADDR", "0.0.0.0:0");
    let reason = open.refused();
    assert!(reason.contains("OPS_ADMIN_TOKEN"), "{reason}");

    let file = tempfile::NamedTempFile::new().unwrap();
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
