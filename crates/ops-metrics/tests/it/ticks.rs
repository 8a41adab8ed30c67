//! Hooks of the ticker that hang.

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::installed;
use crate::process::warnings_of_process;

/// For what comes within seconds or never.
const SOON: Duration = Duration::from_secs(60);

fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < SOON);
        std::thread::yield_now();
    }
}

#[test]
fn a_hook_that_hangs_is_told_once_and_costs_no_point_of_the_sparklines() {
    installed();
    let warnings = warnings_of_process();
    let told = || {
        let warnings = warnings.lock().unwrap();
        let hangs = warnings
            .iter()
            .filter(|line| line.contains("before_tick_hangs"));
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
