//! A process whose render hangs: apart from the others, which would wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;

/// Twice what a scrape waits.
const SOON: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_render_that_hangs_is_a_500_after_two_seconds_and_the_next_one_is_served() {
    ops_metrics::init(ops_metrics::Config::new()).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let hangs = AtomicBool::new(true);
    ops_metrics::before_scrape(move || {
        if hangs.swap(false, Ordering::Relaxed) {
            let _ = released.lock().unwrap().recv();
        }
    });
    let (parts, ()) = Request::new(()).into_parts();
    let asked = Instant::now();
    let response = ops_metrics::serve(&parts).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let text = response.collect().await.unwrap().to_bytes();
    assert_eq!(text, "metrics were not rendered within 2 seconds\n");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    release.send(()).unwrap();
    let response = ops_metrics::serve(&parts).await;
    assert_eq!(response.status(), StatusCode::OK);
    let failures = r#"ops_metrics_scrape_failures_total{reason="timeout"} 1"#;
    let text = response.collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.lines().any(|line| line == failures), "{text}");
}
