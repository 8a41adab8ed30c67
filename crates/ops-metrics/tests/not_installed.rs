//! A process without installed metrics: separate from the others, which share one process and install them.

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;

#[tokio::test]
async fn without_install_the_endpoint_says_503_and_counting_still_works() {
    let (parts, ()) = Request::new(()).into_parts();
    let response = ops_metrics::serve(&parts).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = response.collect().await.unwrap().to_bytes();
    assert_eq!(text, "metrics are not installed\n");
    assert!(ops_metrics::render().is_err());
    ops_metrics::catalog::duckdb_query_total("SELECT").inc();
    assert_eq!(ops_metrics::catalog::duckdb_query_total("SELECT").get(), 1);
}
