//! A process whose render hangs: apart from the others, which would wait for it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;

/// Many more than the scrapes that may wait at the same time.
const RENDERS: usize = 64;

/// For what does not wait for the hook.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_render_that_hangs_is_a_500_after_two_seconds_and_the_next_one_does_without_its_hook() {
    ops_metrics::init(ops_metrics::Config::new()).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let hangs = Arc::new(AtomicBool::new(true));
    let hangs_now = Arc::clone(&hangs);
    ops_metrics::before_scrape(move || {
        if hangs_now.swap(false, Ordering::Relaxed) {
            let _ = released.lock().unwrap().recv();
        }
    });
    let others = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&others);
    ops_metrics::before_scrape(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let (parts, ()) = Request::new(()).into_parts();
    let asked = Instant::now();
    let response = ops_metrics::serve(&parts).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let text = response.collect().await.unwrap().to_bytes();
    assert_eq!(text, "metrics were not rendered within 2 seconds\n");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    let response = ops_metrics::serve(&parts).await;
    assert_eq!(response.status(), StatusCode::OK, "without the hook");
    assert_eq!(
        others.load(Ordering::Relaxed),
        1,
        "hooks behind it are called"
    );
    ops_metrics::read(&mut |_| {}).unwrap();
    release.send(()).unwrap();
    let response = ops_metrics::serve(&parts).await;
    assert_eq!(response.status(), StatusCode::OK);
    let failures = r#"ops_metrics_scrape_failures_total{reason="timeout"} 1"#;
    let text = response.collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.lines().any(|line| line == failures), "{text}");
    // `read` waits no longer, whoever meets the hook first
    hangs.store(true, Ordering::Relaxed);
    while hangs.load(Ordering::Relaxed) {
        let asked = Instant::now();
        ops_metrics::read(&mut |_| {}).unwrap();
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }
    release.send(()).unwrap();
    // nor does `render`, and however many threads wait in it, no scrape is refused
    hangs.store(true, Ordering::Relaxed);
    let (done, texts) = mpsc::channel();
    let called = Arc::new(AtomicUsize::new(0));
    for _ in 0..RENDERS {
        let (done, called) = (done.clone(), Arc::clone(&called));
        std::thread::spawn(move || {
            called.fetch_add(1, Ordering::Relaxed);
            done.send(ops_metrics::render().unwrap())
        });
    }
    while hangs.load(Ordering::Relaxed) || called.load(Ordering::Relaxed) < RENDERS {
        std::thread::yield_now();
    }
    let response = ops_metrics::serve(&parts).await;
    assert_ne!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    for _ in 0..RENDERS {
        let text = texts.recv_timeout(SOON).unwrap();
        assert!(text.contains("ops_metrics_series{metric="), "{text}");
    }
    drop(release);
}
