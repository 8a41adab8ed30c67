//! The thread that samples once a second, and separate threads for the hooks and for the sources of sparklines.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::history::{interval, process, runtime, sparkline};

/// Seconds between two samples of the process.
const PROCESS_SECONDS: u64 = 5;
const SECOND: Duration = Duration::from_secs(1);
/// Maximum time that the ticker waits for user code before it continues without it.
const WAIT_MAX: Duration = Duration::from_secs(2);

static HOOKS: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>> = Mutex::new(Vec::new());

/// Calls `publish` each second, before the sparklines take their point,
/// for totals that are counted elsewhere and shown as sparklines.
///
/// It must be quick: a second in which it does not return is a gap. After 2 s the sparklines continue without its
/// values, `before_tick_hangs` is logged once, no hook is called until it has returned, and the ticker waits for no
/// hook until a run has ended in time. A panic in it is caught, and leaves the totals unchanged.
pub fn before_tick(publish: impl Fn() + Send + Sync + 'static) {
    HOOKS.lock().push(Arc::new(publish));
}

/// Samples the process and the sparklines, each second from `start` on.
pub(crate) fn start(start: Instant) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("ops-metrics".into());
    thread.spawn(move || tick(start)).map(drop)
}

fn tick(start: Instant) {
    let (mut hooks, mut sources) = (None, None);
    let mut next = SECOND;
    let mut until_process = 0;
    loop {
        std::thread::sleep(next.saturating_sub(start.elapsed()));
        runtime::sample();
        if until_process == 0 {
            process::sample(Path::new("/"));
            until_process = PROCESS_SECONDS;
        }
        until_process -= 1;
        if !HOOKS.lock().is_empty() {
            call_hooks(&mut hooks);
        }
        let added = if interval::has_sources() {
            read_sources(&mut sources)
        } else {
            Vec::new()
        };
        // hooks that are slow cause a gap: the totals are those of this moment
        let now = start.elapsed();
        sparkline::tick(now, added);
        // a missed second is a gap, and is not made up for
        next = (next + SECOND).max(Duration::from_secs(now.as_secs() + 1));
    }
}

fn call_hooks(user_thread: &mut Option<UserCodeThread<()>>) {
    if let Err(Hang { is_first: true }) = run_on_thread(user_thread, "ops-metrics-hook", run_hooks)
    {
        tracing::warn!(
            target: "ops_metrics",
            limit_ms = WAIT_MAX.as_millis(),
            hint = "a before_tick hook has not returned: no hook is called until it does",
            "before_tick_hangs"
        );
    }
}

/// Returns the values of the added sparklines; none while a source hangs.
fn read_sources(user_thread: &mut Option<UserCodeThread<Vec<Option<f64>>>>) -> Vec<Option<f64>> {
    let read = run_on_thread(user_thread, "ops-metrics-source", interval::read_sources);
    if let Err(Hang { is_first: true }) = read {
        tracing::warn!(
            target: "ops_metrics",
            limit_ms = WAIT_MAX.as_millis(),
            hint = "an add_sparkline source has not returned: no source is read until it does",
            "sparkline_source_hangs"
        );
    }
    read.unwrap_or_default()
}

/// Runs the work on its thread, which is started if necessary, or on this thread if none can be started.
fn run_on_thread<T: Send + 'static>(
    user_thread: &mut Option<UserCodeThread<T>>,
    name: &str,
    work: fn() -> T,
) -> Result<T, Hang> {
    *user_thread = user_thread
        .take()
        .or_else(|| UserCodeThread::start(name, work).ok());
    user_thread
        .as_mut()
        .map_or_else(|| Ok(work()), UserCodeThread::run)
}

fn run_hooks() {
    let hooks = HOOKS.lock().clone();
    for hook in hooks {
        // the panic hook logs the panic
        let _ = catch_unwind(AssertUnwindSafe(|| hook()));
    }
}

/// Thread that runs user code, so that hanging code blocks nothing else.
struct UserCodeThread<T> {
    begin: SyncSender<()>,
    done: Receiver<T>,
    /// Start of the active run.
    running: Option<Instant>,
    /// True if a hang was logged, and no run has ended in time since.
    hang_logged: bool,
}

/// Error of a run that has not ended in time.
struct Hang {
    /// True if the hang has not been logged yet.
    is_first: bool,
}

impl<T: Send + 'static> UserCodeThread<T> {
    fn start(name: &str, work: fn() -> T) -> io::Result<Self> {
        let (begin, begun) = sync_channel(1);
        let (end, done) = sync_channel(1);
        let run = move || {
            while begun.recv().is_ok() {
                let _ = end.send(work()); // the ticker lives as long as the process
            }
        };
        let thread = std::thread::Builder::new().name(name.into());
        thread.spawn(run)?;
        Ok(Self {
            begin,
            done,
            running: None,
            hang_logged: false,
        })
    }

    /// Runs the work and waits for it until [`WAIT_MAX`] after its start, or not
    /// at all if a hang was logged. No run begins while an earlier one is active.
    fn run(&mut self) -> Result<T, Hang> {
        let began = *self.running.get_or_insert_with(|| {
            let _ = self.begin.try_send(()); // there is room, because no run is active
            Instant::now()
        });
        let left = if self.hang_logged {
            Duration::ZERO
        } else {
            WAIT_MAX.saturating_sub(began.elapsed())
        };
        let Ok(result) = self.done.recv_timeout(left) else {
            let is_first = !std::mem::replace(&mut self.hang_logged, true);
            return Err(Hang { is_first });
        };
        self.running = None;
        self.hang_logged &= began.elapsed() > WAIT_MAX;
        Ok(result)
    }
}
