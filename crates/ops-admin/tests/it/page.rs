use std::io::Write as _;

use axum::Router;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;
use ops_admin::{Admin, Finding, Severity};

use crate::{Answer, admin, get, send};

/// Maximum size of everything that a browser loads, compressed.
const MAX_BYTES: usize = 60 * 1024;

async fn browse(router: &Router) -> Answer {
    let request = Request::get("/")
        .header("host", "localhost")
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    send(router, request, "").await
}

/// Returns paths in the attributes `src` and `href` that do not lead to another place of the page.
fn references(html: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        let parts = html.split(attribute).skip(1);
        found.extend(parts.filter_map(|part| part.split('"').next()));
    }
    found.retain(|path| !path.starts_with('#') && *path != "data:,");
    found
}

#[tokio::test]
async fn browsers_get_a_page_whose_parts_are_ours_small_and_typed() {
    let router = admin();
    let page = browse(&router).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(!policy.contains("unsafe"), "{policy}");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    let inline = ["<style", "<script>", " style=", " onclick", "javascript:"];
    assert!(!inline.iter().any(|part| page.body.contains(part)));
    let mut all = GzEncoder::new(Vec::new(), Compression::best());
    all.write_all(page.body.as_bytes()).unwrap();
    let references = references(&page.body);
    assert!(references.len() > 5, "{references:?}");
    for path in references {
        assert!(path.starts_with("/assets/"), "{path} is from elsewhere");
        let part = get(&router, path).await;
        assert_eq!(part.status, 200, "{path}");
        let expected = if path.ends_with(".css") {
            "text/css"
        } else {
            "text/javascript"
        };
        let kind = part.headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with(expected), "{path}: {kind}");
        assert!(
            !part.body.contains("://") || part.body.contains("http://www.w3.org/2000/svg"),
            "{path}"
        );
        // text that is inserted as markup could come from anyone
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!part.body.contains(sink), "{path} has {sink}");
        }
        all.write_all(part.body.as_bytes()).unwrap();
    }
    let bytes = all.finish().unwrap().len();
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
    assert_eq!(get(&router, "/assets/nothing.js").await.status, 404);
    assert_eq!(get(&router, "/assets/..%2fpage.html").await.status, 404);
}

#[tokio::test]
async fn a_name_with_markup_stays_text() {
    let page = browse(&Admin::new(r#"<img src=x onerror="x()">'&"#).router()).await;
    assert!(!page.body.contains("<img"), "{}", page.body);
    assert!(
        page.body
            .contains("<h1>&lt;img src=x onerror=&quot;x()&quot;&gt;&#39;&amp;</h1>")
    );
}

#[tokio::test]
async fn everybody_else_gets_a_summary_without_terminal_sequences() {
    let router = Admin::new("it")
        .build("1.2.3", "abcdef0")
        .readiness(|| async { Some("warming \u{1b}[31mup\u{7}".to_owned()) })
        .findings(|| {
            vec![
                Finding::new("slow", Severity::Critical, "slow\r\nfake: line", 0)
                    .seen("p95 4 s")
                    .action("look")
                    .explained_by("\u{202e}down"),
            ]
        })
        .router();
    let answer = get(&router, "/").await;
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    let lines: Vec<_> = answer.body.lines().collect();
    assert_eq!(lines[0], "it 1.2.3 abcdef0: FAILING, up 0 s");
    assert_eq!(lines[1], "  warming \u{fffd}[31mup\u{fffd}");
    assert!(answer.body.contains("critical: slow\u{fffd}\u{fffd}fake: line\n  seen: p95 4 s\n  do: look\n  explained by: \u{fffd}down\n"));
    let is_control = |c: char| c.is_control() && c != '\n';
    assert!(!answer.body.contains(is_control), "{}", answer.body);
    assert!(
        answer
            .body
            .ends_with("For scripts: /api/state, /api/openapi.json, /metrics\n")
    );
}

#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
#[tokio::test]
async fn the_summary_writes_small_and_large_numbers_so_that_they_are_read() {
    crate::traffic().await;
    let router = admin();
    ops_metrics::add_sparkline("it_moment_seconds", || Some(0.000_041_23));
    ops_metrics::add_sparkline("it_wait_seconds", || Some(0.25));
    ops_metrics::add_sparkline("it_disk_bytes", || Some(1.5e12));
    ops_metrics::add_sparkline("it_share_ratio", || Some(0.9912));
    ops_metrics::add_sparkline("it_nearly_ratio", || Some(0.999_64));
    ops_metrics::add_sparkline("it_whole_ratio", || Some(1.0));
    ops_metrics::add_sparkline("it_rare_per_second", || Some(0.003_333));
    // a point is taken once a second
    let late = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let text = loop {
        let text = get(&router, "/").await.body;
        let added = text.lines().filter(|line| line.contains(" it_"));
        if added.filter(|line| !line.ends_with(" -")).count() == 7 {
            break text;
        }
        assert!(std::time::Instant::now() < late, "{text}");
        tokio::task::yield_now().await;
    };
    for (name, right) in [
        ("it_moment_seconds", "41.2 µs"),
        ("it_wait_seconds", "250 ms"),
        ("it_disk_bytes", "1.36 TiB"),
        ("it_share_ratio", "99.1 %"),
        ("it_nearly_ratio", "99.96 %"),
        ("it_whole_ratio", "100 %"),
        ("it_rare_per_second", "0.00333 /s"),
    ] {
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        let (_, value) = line.split_once(name).unwrap();
        assert_eq!(value.trim(), right, "{text}");
    }
}
