use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use crate::{glue, thread};

/// Signal to every part of a service that it should stop: raised by SIGTERM, by Ctrl-C, or by [`stop`](Self::stop).
#[derive(Clone, Debug)]
pub struct StopSignal {
    stopping: watch::Sender<bool>,
    number: Arc<OnceLock<i32>>,
    budget: watch::Sender<Option<Duration>>,
}

/// Time after the shutdown budget until the process is ended.
const OVERTIME: Duration = Duration::from_secs(1);
/// Maximum time to log that: the output may be what blocks the process.
const LAST_LINE: Duration = Duration::from_millis(500);

impl StopSignal {
    /// Listens for SIGTERM and Ctrl-C on a separate thread. Whatever the program does, a second signal ends the
    /// process immediately, with exit code 128 plus its number: 143 for SIGTERM, 130 for Ctrl-C. If a service or
    /// job of [`Ops`](crate::Ops) uses this signal, so does the first one a second after the shutdown budget.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not allow watching the signals, or cannot start the thread.
    pub fn listen() -> io::Result<Self> {
        let signal = Self::manual();
        let listener = signal.clone();
        thread::start("ops-signals", watch_signals, move |(runtime, signals)| {
            runtime.block_on(listener.follow(signals));
        })?;
        Ok(signal)
    }

    async fn follow(self, mut signals: Signals) {
        let first = signals.next().await;
        let stop_requested = Instant::now();
        if !self.is_raised() {
            // set only here
            let _ = self.number.set(first);
            glue::black_box::stopping(Some(first));
        }
        self.stop();
        let number = tokio::select! {
            second = signals.next() => second,
            budget = self.exceeded(stop_requested) => {
                log_exceeded(budget).await;
                first
            }
        };
        glue::black_box::exiting();
        std::process::exit(128 + number);
    }

    /// Limits the time from the operating system's signal to the end of the process.
    #[cfg(feature = "serve")]
    pub(crate) fn end_within(&self, budget: Duration) {
        self.budget.send_replace(Some(budget));
    }

    /// Waits until the process exceeds its budget, and returns the budget; waits forever without one.
    async fn exceeded(&self, stop_requested: Instant) -> Duration {
        let mut known = self.budget.subscribe();
        // the sender lives in `self`, so this cannot fail
        let budget = known.wait_for(Option::is_some).await;
        let budget = budget
            .ok()
            .and_then(|budget| *budget)
            .unwrap_or(Duration::MAX);
        let left = budget
            .saturating_add(OVERTIME)
            .saturating_sub(stop_requested.elapsed());
        tokio::time::sleep(left).await;
        budget
    }

    /// Returns a signal that only [`stop`](Self::stop) raises.
    pub fn manual() -> Self {
        Self {
            stopping: watch::Sender::new(false),
            number: Arc::default(),
            budget: watch::Sender::new(None),
        }
    }

    /// Raises the signal.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Returns whether the signal was raised.
    pub fn is_raised(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Returns the number of the operating system's signal that raised it: 15 for
    /// SIGTERM, 2 for Ctrl-C; `None` for [`stop`](Self::stop), or if it is not raised.
    /// A program that ends early because of it exits with 128 plus the number.
    pub fn number(&self) -> Option<i32> {
        self.number.get().copied()
    }

    /// Waits until the signal is raised; returns immediately if it already is.
    pub async fn wait(&self) {
        let mut stopping = self.stopping.subscribe();
        // the sender lives in `self`, so this cannot fail
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

/// Signals of process 1 since [`watch_early`], for the first that listens.
static EARLY: Mutex<Option<(Runtime, Signals)>> = Mutex::new(None);
/// Something listens or listened.
static LISTENED: AtomicBool = AtomicBool::new(false);

/// Keeps signals that arrive before a service or job listens, if this is process 1, as in a container: the
/// kernel drops signals that process 1 does not watch, where they would end any other process.
pub(crate) fn watch_early() {
    if std::process::id() != 1 || LISTENED.load(Ordering::Relaxed) {
        return;
    }
    let mut early = EARLY.lock().unwrap_or_else(PoisonError::into_inner);
    // kept if `init` is called again after it failed: a runtime cannot be dropped inside of another one
    if early.is_none() {
        // without them it starts as before
        *early = new_signals().ok();
    }
}

/// Returns the signals, and the runtime that receives them.
fn watch_signals() -> io::Result<(Runtime, Signals)> {
    LISTENED.store(true, Ordering::Relaxed);
    let early = EARLY.lock().unwrap_or_else(PoisonError::into_inner).take();
    early.map_or_else(new_signals, Ok)
}

fn new_signals() -> io::Result<(Runtime, Signals)> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::watch()?
    };
    Ok((runtime, signals))
}

/// Logs on another thread that the process is ended.
async fn log_exceeded(budget: Duration) {
    let (done, logged) = oneshot::channel::<()>();
    let logging = std::thread::Builder::new().spawn(move || {
        tracing::error!(
            target: "ops_layer",
            budget_seconds = budget.as_secs_f64(),
            hint = "a worker is blocked, a spawn_blocking task is still running, or the program continues after serving",
            "shutdown_budget_exceeded"
        );
        drop(done);
    });
    // without a thread, or if it takes longer, the line is lost: the process ends now
    if logging.is_ok() {
        let _ = tokio::time::timeout(LAST_LINE, logged).await;
    }
}

/// Number of SIGINT on every platform.
const SIGINT: i32 = 2;

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn watch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal and returns its number.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => tokio::signal::unix::SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SIGINT,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn watch() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i32 {
        // a missing console sends no signal
        let _ = tokio::signal::ctrl_c().await;
        SIGINT
    }
}
