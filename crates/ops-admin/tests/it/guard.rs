use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode, Version};
use ops_admin::Admin;
#[cfg(feature = "log")]
use ops_admin::{Check, Finding, Severity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{admin, get, send};

const TOKEN: &str = "a-token-of-16-chars";

fn with_token() -> Router {
    Admin::new("it").token(TOKEN).router()
}

async fn status(router: &Router, target: &str, hosts: &[&str], version: Version) -> u16 {
    let mut request = Request::get(target)
        .version(version)
        .header("authorization", format!("Bearer {TOKEN}"));
    for host in hosts {
        request = request.header("host", *host);
    }
    send(router, request, "").await.status.as_u16()
}

#[tokio::test]
async fn a_token_that_is_too_short_opens_nothing() {
    for token in ["", "fifteen-bytes-x"] {
        let router = Admin::new("it").token(token).router();
        let basic = STANDARD.encode(format!("ops:{token}"));
        for sent in [format!("Bearer {token}"), format!("Basic {basic}")] {
            let request = Request::get("/api/state")
                .header("host", "localhost")
                .header("authorization", &sent);
            let status = send(&router, request, "").await.status;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{sent}");
        }
        assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn one_host_that_is_loopback_or_allowed_is_answered() {
    let router = Admin::new("it").allow_host("admin.internal").router();
    for host in [
        "localhost",
        "LOCALHOST:8001",
        "127.0.0.1",
        "127.0.0.1:8001",
        "127.1.2.3",
        "[::1]",
        "[::1]:8001",
        "[::ffff:127.0.0.1]:80",
        "admin.internal",
        "Admin.Internal:443",
        "localhost:",
    ] {
        let status = status(&router, "/healthz", &[host], Version::HTTP_11).await;
        assert_eq!(status, 200, "{host}");
    }
}

/// Header values without a host, with more than one, or with a malformed one.
const NOT_ONE_HOST: &[&[&str]] = &[
    &[],
    &[""],
    &["evil@127.0.0.1"],
    &["@127.0.0.1"],
    &["127.0.0.1@evil.example"],
    &["user:pass@localhost:8001"],
    &["127.0.0.1:99999"],
    &["127.0.0.1:80:80"],
    &["127.0.0.1:x"],
    &["127.0.0.1:-1"],
    &["http://127.0.0.1"],
    &["127.0.0.1/evil"],
    &["127.0.0.1?"],
    &["127.0.0.1, evil.example"],
    &["127.0.0.1 evil.example"],
    &["b\u{fc}ro.example"],
    &["[::1"],
    &["::1"],
    &["::1]"],
    &["[::1]8001"],
    &["[::1]x"],
    &["[]"],
    &["[localhost]"],
    &["[127.0.0.1]"],
    &["[[::1]]"],
    &[":8001"],
    &["127.0.0.1", "evil.example"],
    &["evil.example", "127.0.0.1"],
    &["127.0.0.1", "127.0.0.1"],
    &["127.0.0.1", ""],
];

const FOREIGN: [&str; 8] = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:8001",
    "10.0.0.1",
    "0.0.0.0",
    "[2001:db8::1]",
    "[::ffff:10.0.0.1]:80",
    "admin.internal",
];

#[tokio::test]
async fn a_host_that_is_missing_repeated_malformed_or_has_a_user_is_refused() {
    let (open, closed) = (admin(), with_token());
    for hosts in NOT_ONE_HOST {
        for path in ["/healthz", "/livez", "/nothing/here"] {
            let status = (
                status(&open, path, hosts, Version::HTTP_11).await,
                status(&closed, path, hosts, Version::HTTP_11).await,
            );
            assert_eq!(status, (400, 400), "{path} {hosts:?}");
        }
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused_unless_a_token_is_required() {
    let (open, closed) = (admin(), with_token());
    for host in FOREIGN {
        let status = (
            status(&open, "/livez", &[host], Version::HTTP_11).await,
            status(&closed, "/livez", &[host], Version::HTTP_11).await,
            status(&closed, "/healthz", &[host], Version::HTTP_11).await,
        );
        assert_eq!(status, (403, 200, 200), "{host}");
    }
}

#[tokio::test]
async fn only_the_oldest_protocol_may_leave_the_host_out() {
    let (open, closed) = (admin(), with_token());
    for (version, expected) in [
        (Version::HTTP_10, (403, 200)),
        (Version::HTTP_11, (400, 400)),
        (Version::HTTP_2, (400, 400)),
    ] {
        let status = (
            status(&open, "/healthz", &[], version).await,
            status(&closed, "/healthz", &[], version).await,
        );
        assert_eq!(status, expected, "{version:?}");
    }
}

#[tokio::test]
async fn a_target_in_absolute_form_names_the_same_host() {
    let (v1, v2) = (Version::HTTP_11, Version::HTTP_2);
    let rows: &[(&str, &[&str], Version, u16)] = &[
        ("http://127.0.0.1:8001", &["127.0.0.1:8001"], v1, 200),
        ("http://127.0.0.1:80", &["127.0.0.1"], v1, 200),
        ("http://127.0.0.1", &["127.0.0.1:80"], v1, 200),
        ("https://127.0.0.1:443", &["127.0.0.1"], v1, 200),
        ("http://LOCALHOST", &["localhost"], v1, 200),
        ("http://evil.example", &["evil.example"], v1, 403),
        ("http://127.0.0.1:8001", &["evil.example"], v1, 400),
        ("http://127.0.0.1:8001", &["127.0.0.1"], v1, 400),
        ("http://127.0.0.1:8001", &["127.0.0.1:8002"], v1, 400),
        ("http://127.0.0.1", &["localhost"], v1, 400),
        ("http://evil.example", &["127.0.0.1"], v1, 400),
        ("http://evil@127.0.0.1", &["127.0.0.1"], v1, 400),
        ("http://127.0.0.1:99999", &["127.0.0.1"], v1, 400),
        ("http://127.0.0.1", &["127.0.0.1", "127.0.0.1"], v1, 400),
        ("http://127.0.0.1:8001", &[], v1, 400),
        ("http://127.0.0.1:8001", &[], v2, 200),
        ("http://127.0.0.1:8001", &["127.0.0.1:8001"], v2, 200),
        ("http://127.0.0.1:8001", &["evil.example"], v2, 400),
        ("http://evil@127.0.0.1:8001", &[], v2, 400),
        ("http://evil.example", &[], v2, 403),
        ("http://evil.example", &["127.0.0.1"], v2, 400),
    ];
    let (open, closed) = (admin(), with_token());
    for (target, hosts, version, expected) in rows {
        let target = format!("{target}/livez");
        let answered = status(&open, &target, hosts, *version).await;
        assert_eq!(answered, *expected, "{target} {hosts:?} {version:?}");
        // with a token, the name does not matter
        let expected = if *expected == 403 { 200 } else { *expected };
        let answered = status(&closed, &target, hosts, *version).await;
        assert_eq!(answered, expected, "token: {target} {hosts:?} {version:?}");
    }
}

#[tokio::test]
async fn a_listener_answers_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, admin()).into_future());
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\r\nHost: localhost", "200"),
        (
            "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost",
            "200",
        ),
        (
            "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost",
            "400",
        ),
        (
            "GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example",
            "400",
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nhost: localhost",
            "400",
        ),
        ("GET /healthz HTTP/1.1\r\nHost: evil@localhost", "400"),
        ("GET /healthz HTTP/1.1\r\nHost:", "400"),
        ("GET /healthz HTTP/1.1\r\nAccept: */*", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: evil.example", "403"),
        ("GET /healthz HTTP/1.0\r\nAccept: */*", "403"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{head}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(expected), "{head}: {answer}");
        for header in ["cache-control: no-store", "x-content-type-options: nosniff"] {
            assert!(answer.contains(header), "{head}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_change_needs_the_header_that_no_page_from_elsewhere_can_send() {
    let router = admin();
    for (header, expected) in [(None, 403), (Some("1"), 404)] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let mut request = Request::builder().method(method).uri("/nothing/here");
            request = request.header("host", "localhost");
            if let Some(value) = header {
                request = request.header("x-ops-admin", value);
            }
            let answer = send(&router, request, "{}").await;
            assert_eq!(answer.status.as_u16(), expected, "{method} {header:?}");
        }
    }
}

#[tokio::test]
async fn another_page_gets_no_answer_though_its_links_are_followed() {
    let router = admin();
    let rows: &[(&[(&str, &str)], u16)] = &[
        (&[], 200),
        (
            &[("sec-fetch-site", "none"), ("sec-fetch-dest", "document")],
            200,
        ),
        (
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-dest", "empty"),
            ],
            200,
        ),
        // a link of an alert
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-dest", "document"),
            ],
            200,
        ),
        // an image, a frame, a script that occupies a stream
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-dest", "image"),
            ],
            403,
        ),
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-dest", "iframe"),
            ],
            403,
        ),
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-dest", "empty"),
            ],
            403,
        ),
        // another port of this machine
        (
            &[("sec-fetch-site", "same-site"), ("sec-fetch-dest", "empty")],
            403,
        ),
        (&[("sec-fetch-site", "cross-site")], 403),
    ];
    for path in ["/", "/healthz", "/api/state", "/assets/page.js"] {
        for (headers, expected) in rows {
            let mut request = Request::get(path).header("host", "localhost");
            for (name, value) in *headers {
                request = request.header(*name, *value);
            }
            let status = send(&router, request, "").await.status.as_u16();
            assert_eq!(status, *expected, "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn responses_forbid_caching_and_type_sniffing() {
    let router = admin();
    let mut answers = Vec::new();
    for path in [
        "/",
        "/healthz",
        "/livez",
        "/readyz",
        "/api/state",
        "/metrics",
        "/api/level",
        "/api/openapi.json",
        "/api/tiles",
        "/api/tiles?window=x",
        "/api/lines",
        "/api/traces/x",
        "/assets/page.js",
        "/nothing/here",
    ] {
        answers.push((path, get(&router, path).await));
    }
    let foreign = Request::get("/api/state").header("host", "evil.example");
    answers.push(("foreign", send(&router, foreign, "").await));
    let unsafe_one = Request::post("/api/level").header("host", "localhost");
    answers.push(("unsafe", send(&router, unsafe_one, "{}").await));
    let malformed = Request::post("/api/level")
        .header("host", "localhost")
        .header("x-ops-admin", "1");
    answers.push(("malformed", send(&router, malformed, "{").await));
    let two = Request::get("/")
        .header("host", "localhost")
        .header("host", "evil.example");
    answers.push(("two hosts", send(&router, two, "").await));
    let other = Request::delete("/healthz")
        .header("host", "localhost")
        .header("x-ops-admin", "1");
    answers.push(("no such method", send(&router, other, "").await));
    for path in ["/", "/healthz", "/nothing/here"] {
        answers.push((path, get(&with_token(), path).await));
    }
    for (what, answer) in answers {
        assert_eq!(answer.headers["cache-control"], "no-store", "{what}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_page_is_not_framed_and_readiness_says_why() {
    let router = Admin::new("it")
        .readiness(|| async { Some("the cache is cold".to_owned()) })
        .router();
    let page = get(&router, "/").await;
    assert_eq!(page.headers["x-frame-options"], "DENY");
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    let ready = get(&router, "/readyz").await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "the cache is cold\n")
    );
}

#[cfg(feature = "log")]
#[tokio::test]
async fn readiness_has_no_secret_and_no_line_of_others() {
    const SECRET: &str = "readiness-canary-of-the-database";
    ops_log::redact(SECRET);
    let reason = || format!("db: postgres://app:{SECRET}@db refused\nready\u{1b}[2J");
    let check = move || Check {
        name: "db".to_owned(),
        state: "failed",
        reason: Some(reason()),
    };
    let router = Admin::new("it")
        .readiness(move || async move { Some(reason()) })
        .checks(move || (Some(reason()), vec![check()]))
        .findings(move || vec![Finding::new("slow", Severity::Critical, "slow", 0).seen(reason())])
        .router();
    let answer = get(&router, "/readyz?verbose").await;
    assert!(!answer.body.contains(SECRET), "{}", answer.body);
    let lines: Vec<_> = answer.body.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("db: postgres://app:"), "{lines:?}");
    assert!(lines[1].starts_with("check db: failed: db: "), "{lines:?}");
    assert!(
        lines[2].starts_with("finding slow (critical): "),
        "{lines:?}"
    );
    let is_control = |c: char| c.is_control() && c != '\n';
    assert!(!answer.body.contains(is_control), "{}", answer.body);

    let panicking = Admin::new("it").findings(|| panic!("on purpose")).router();
    let answer = get(&panicking, "/readyz?verbose").await;
    assert!(
        answer.body.contains("finding findings_failed (warning)"),
        "{}",
        answer.body
    );
}
