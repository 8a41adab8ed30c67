//! Hooks before a scrape that hang, or are slow.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;

use crate::LINES;
use crate::lines::Lines;

/// Number of threads that render, many more than the scrapes that may wait at the same time.
const RENDERS: usize = 64;

/// Timeout for operations that do not wait for a hook.
const SOON: Duration = Duration::from_secs(60);

/// Much less than the 2 s limit of hooks.
const LATE: Duration = Duration::from_millis(300);

/// A hook whose calls return at once while it is open.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    calls: u64,
    is_closed: bool,
    /// Minimum duration of each call.
    delay: Duration,
}

impl Gate {
    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.calls += 1;
        let delay = state.delay;
        (state, _) = changed.wait_timeout_while(state, delay, |_| true).unwrap();
        drop(changed.wait_while(state, |state| state.is_closed).unwrap());
    }

    fn set(&self, is_closed: bool, delay: Duration) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        (state.is_closed, state.delay) = (is_closed, delay);
        changed.notify_all();
    }

    fn close(&self) {
        self.set(true, Duration::ZERO);
    }

    fn calls(&self) -> u64 {
        self.0.0.lock().unwrap().calls
    }
}

/// Numbers of scrapes and reads so far that continued without the values of a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Failures {
    timeout: u64,
    hook: u64,
}

impl Failures {
    fn shown(text: &str) -> Self {
        let of = |reason: &str| {
            let series = format!("ops_metrics_scrape_failures_total{{reason=\"{reason}\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&series));
            value.map_or(0, |value| value.parse().unwrap())
        };
        Self {
            timeout: of("timeout"),
            hook: of("hook"),
        }
    }

    fn sum(self) -> u64 {
        self.timeout + self.hook
    }
}

async fn scraped() -> Failures {
    let (parts, ()) = Request::new(()).into_parts();
    let asked = Instant::now();
    let response = ops_metrics::serve(&parts).await;
    assert_eq!(response.status(), StatusCode::OK);
    let text = response.collect().await.unwrap().to_bytes();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    Failures::shown(std::str::from_utf8(&text).unwrap())
}

/// Scrapes until a scrape skips a hook at once; each scrape lacks values.
async fn scraped_until_left_out(mut before: Failures) -> Failures {
    let started = Instant::now();
    loop {
        let now = scraped().await;
        assert!(now.sum() > before.sum(), "{before:?} {now:?}");
        if now.hook > before.hook {
            return now;
        }
        before = now;
        assert!(started.elapsed() < SOON, "{now:?}");
    }
}

/// Opens the gate, and scrapes until a scrape lacks no values.
async fn recovered(gate: &Gate, mut before: Failures) -> Failures {
    gate.set(false, Duration::ZERO);
    let started = Instant::now();
    loop {
        let now = scraped().await;
        if now == before {
            return now;
        }
        before = now;
        assert!(started.elapsed() < SOON, "{now:?}");
    }
}

#[tokio::test]
async fn a_hook_that_hangs_or_is_slow_costs_nothing_but_what_it_publishes() {
    let lines = &*LINES;
    let gates: [Gate; 3] = std::array::from_fn(|_| Gate::default());
    for gate in gates.clone() {
        ops_metrics::before_scrape(move || gate.pass());
    }
    let [before, gate, behind] = &gates;

    // the first caller to meet the hang waits, and gets all other values
    gate.close();
    let text = ops_metrics::render().unwrap();
    assert!(text.contains("\nops_metrics_series{metric="), "{text}");
    let failures = Failures::shown(&text);
    let first = Failures {
        timeout: 1,
        hook: 0,
    };
    assert_eq!(failures, first);
    assert_eq!(behind.calls(), 0);

    // later scrapes skip this hook, and only this hook
    let failures = scraped_until_left_out(failures).await;
    assert!(behind.calls() > 0);
    ops_metrics::read(&mut |_| {}).unwrap();
    let next = scraped_until_left_out(failures).await;
    assert!(next.sum() >= failures.sum() + 2, "{failures:?} {next:?}");
    assert_eq!(gate.calls(), 1, "as long as it hangs");
    // each scrape that timed out may have abandoned a run
    let logged = count(lines, "before_scrape_hangs");
    assert!((1..=next.timeout).contains(&logged), "{logged} {next:?}");
    let failures = recovered(gate, next).await;
    assert!(gate.calls() > 1);
    let started = Instant::now();
    while count(lines, "before_scrape_slow") == 0 {
        assert!(started.elapsed() < SOON, "the first run took long");
        std::thread::park_timeout(Duration::from_millis(1));
    }

    // a hook that returns too late every time is called every time
    let mut failures = failures;
    for _ in 0..2 {
        let calls = gate.calls();
        gate.close();
        let now = scraped().await;
        assert!(now.timeout > failures.timeout, "{failures:?} {now:?}");
        assert_eq!(gate.calls(), calls + 1);
        failures = recovered(gate, now).await;
    }

    // a hook that began to hang late in its run is not called again
    let calls = gate.calls();
    before.set(false, LATE);
    gate.close();
    let now = scraped().await;
    assert!(now.sum() > failures.sum(), "{failures:?} {now:?}");
    before.set(false, Duration::ZERO);
    let failures = scraped_until_left_out(now).await;
    assert_eq!(gate.calls(), calls + 1);
    recovered(gate, failures).await;

    // however many threads wait in `render`, no scrape is refused
    let calls = gate.calls();
    gate.close();
    let (begun, begins) = mpsc::channel();
    let (done, texts) = mpsc::channel();
    for _ in 0..RENDERS {
        let (begun, done) = (begun.clone(), done.clone());
        std::thread::spawn(move || {
            begun.send(()).unwrap();
            done.send(ops_metrics::render().unwrap())
        });
    }
    for _ in 0..RENDERS {
        begins.recv_timeout(SOON).unwrap();
    }
    scraped().await;
    assert_eq!(gate.calls(), calls + 1);
    for _ in 0..RENDERS {
        let text = texts.recv_timeout(SOON).unwrap();
        assert!(text.contains("\nops_metrics_series{metric="), "{text}");
    }
    gate.set(false, Duration::ZERO);
}

/// Returns the number of lines with this text.
fn count(lines: &Lines, text: &str) -> u64 {
    let lines = lines.all().into_iter();
    lines.filter(|line| line.contains(text)).count() as u64
}
