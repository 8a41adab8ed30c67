//! Ticker hooks and sparkline sources that hang.

use std::sync::{LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::LINES;

/// Timeout for events that happen within seconds or never.
const SOON: Duration = Duration::from_secs(60);

/// Returns how often this event was logged, with the limit.
fn reported(event: &str) -> usize {
    let lines = LINES.all().into_iter();
    let reported = lines.filter(|line| line.contains(event) && line.contains("limit_ms=2000 "));
    reported.count()
}

fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_hanging_hook_is_logged_once_and_costs_no_point_of_the_sparklines() {
    let reported = || reported("before_tick_hangs");
    LazyLock::force(&LINES);
    let (call, calls) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (call, released) = (Mutex::new(call), Mutex::new(released));
    ops_metrics::before_tick(move || {
        // errors are ignored: after the test both channels are closed
        let _ = call.lock().unwrap().send(());
        let _ = released.lock().unwrap().recv();
    });
    calls.recv_timeout(SOON).unwrap();
    wait_until(|| reported() > 0);
    let seconds = ops_metrics::history_seconds();
    wait_until(|| ops_metrics::history_seconds() > seconds + 1);
    assert!(calls.try_recv().is_err(), "not called while it hangs");
    release.send(()).unwrap();
    calls.recv_timeout(SOON).unwrap();
    assert_eq!(reported(), 1);
}

/// Returns the newest point of a sparkline, if there is one.
fn newest(name: &str) -> Option<f64> {
    let lines = ops_metrics::sparklines();
    let line = lines.iter().find(|line| line.name == name).unwrap();
    line.points.last().copied().flatten()
}

#[test]
fn a_hanging_source_is_logged_once_and_leaves_gaps_in_added_sparklines() {
    static HELD: Mutex<()> = Mutex::new(());

    LazyLock::force(&LINES);
    let reported = || reported("sparkline_source_hangs");
    ops_metrics::add_sparkline("of_another_source", || Some(1.0));
    wait_until(|| newest("of_another_source") == Some(1.0));
    let held = HELD.lock().unwrap();
    ops_metrics::add_sparkline("of_a_lock", || {
        drop(HELD.lock().unwrap());
        Some(2.0)
    });
    wait_until(|| reported() > 0);
    let (reported_before, seconds) = (reported(), ops_metrics::history_seconds());
    wait_until(|| ops_metrics::history_seconds() > seconds + 1);
    assert_eq!(reported(), reported_before, "once for as long as it hangs");
    wait_until(|| newest("cpu_cores").is_some() && newest("of_another_source").is_none());
    drop(held);
    wait_until(|| newest("of_another_source") == Some(1.0) && newest("of_a_lock") == Some(2.0));
}
