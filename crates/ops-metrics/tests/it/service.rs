use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, Request, Response, StatusCode};
use ops_metrics::{CONTENT_TYPE, serve};

use crate::{rendered, value};

async fn answered(method: Method) -> Response<bytes::Bytes> {
    let (parts, ()) = Request::builder()
        .method(method)
        .uri("/metrics")
        .body(())
        .unwrap()
        .into_parts();
    serve(&parts).await
}

#[tokio::test]
async fn get_head_and_other_methods_are_answered() {
    rendered();
    let get = loop {
        let get = answered(Method::GET).await;
        if get.status() == StatusCode::OK {
            break get;
        }
    };
    assert_eq!(get.headers()["content-type"], CONTENT_TYPE);
    assert!(get.body().starts_with(b"# HELP "));
    assert_eq!(answered(Method::HEAD).await.body().len(), 0);
    let post = answered(Method::POST).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers()["allow"], "GET, HEAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_scrapes_share_renders_and_the_surplus_is_told_to_retry() {
    rendered();
    let scrapes: Vec<_> = (0..64)
        .map(|_| tokio::spawn(answered(Method::GET)))
        .collect();
    let mut served = 0;
    for scrape in scrapes {
        let response = scrape.await.unwrap();
        match response.status() {
            StatusCode::OK => served += 1,
            StatusCode::SERVICE_UNAVAILABLE => assert_eq!(response.headers()["retry-after"], "1"),
            other => unreachable!("{other}"),
        }
    }
    assert!(served > 0);
}

#[test]
fn a_hook_publishes_before_each_scrape_and_its_panic_does_no_harm() {
    let published = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&published);
    ops_metrics::before_scrape(move || {
        let total = counted.fetch_add(1, Ordering::Relaxed) + 1;
        metrics::counter!("duckdb_query_total", "query_type" => "HOOKED").absolute(total);
    });
    ops_metrics::before_scrape(|| std::panic::resume_unwind(Box::new("on purpose")));
    let text = rendered();
    let shown = value(&text, r#"duckdb_query_total{query_type="HOOKED"}"#);
    assert!(shown.is_some_and(|total| total >= 1.0), "{shown:?}");
}

#[test]
fn sparklines_have_a_name_each() {
    let names: Vec<_> = ops_metrics::sparklines()
        .iter()
        .map(|line| line.name)
        .collect();
    assert_eq!(
        names,
        [
            "requests_per_second",
            "error_ratio",
            "p50_seconds",
            "p95_seconds",
            "cache_hit_ratio"
        ]
    );
}
