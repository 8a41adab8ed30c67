//! A process whose hooks of the ticker hang: apart from the others, whose hooks would wait for them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod lines;

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use lines::Lines;

/// For what comes within seconds or never.
const SOON: Duration = Duration::from_secs(60);

fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_hook_that_hangs_is_told_once_and_costs_no_point_of_the_sparklines() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    ops_metrics::init(ops_metrics::Config::new()).unwrap();
    let told = || {
        let hangs = lines.all().into_iter();
        let hangs = hangs
            .filter(|line| line.contains("before_tick_hangs") && line.contains("limit_ms=2000 "));
        hangs.count()
    };
    let (call, calls) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (call, released) = (Mutex::new(call), Mutex::new(released));
    ops_metrics::before_tick(move || {
        // once the test is over nobody listens, and nobody waits
        let _ = call.lock().unwrap().send(());
        let _ = released.lock().unwrap().recv();
    });
    calls.recv_timeout(SOON).unwrap();
    wait_until(|| told() > 0);
    let seconds = ops_metrics::history_seconds();
    wait_until(|| ops_metrics::history_seconds() > seconds + 1);
    assert!(calls.try_recv().is_err(), "not called while it hangs");
    release.send(()).unwrap();
    calls.recv_timeout(SOON).unwrap();
    assert_eq!(told(), 1);
}
