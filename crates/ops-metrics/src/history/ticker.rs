//! The thread that samples once a second, and one beside it for the hooks.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::history::{process, runtime, sparkline};

/// Seconds between two looks at the process.
const PROCESS_SECONDS: u64 = 5;
const SECOND: Duration = Duration::from_secs(1);
/// The ticker waits no longer for the hooks, and goes on without them.
const HOOKS_MAX: Duration = Duration::from_secs(2);

static HOOKS: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>> = Mutex::new(Vec::new());

/// Has `publish` called each second, before the sparklines take their point: for totals that are counted elsewhere and drawn.
///
/// It must be quick: a second in which it does not return is a gap. From 2 s on the sparklines go on without what it publishes,
/// `before_tick_hangs` is logged once, no hook is called until it has returned, and none is waited for until a run has ended in time.
/// A panic in it is caught, and leaves the totals as they are.
pub fn before_tick(publish: impl Fn() + Send + Sync + 'static) {
    HOOKS.lock().push(Arc::new(publish));
}

/// Samples the process and the sparklines, each second from `start` on.
pub(crate) fn start(start: Instant) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("ops-metrics".into());
    thread.spawn(move || tick(start)).map(drop)
}

fn tick(start: Instant) {
    let mut hooks = None;
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
            hooks = hooks.or_else(|| HookThread::start().ok());
            hooks.as_mut().map_or_else(run_hooks, HookThread::run);
        }
        // hooks that take their time make a gap: the totals are those of this moment
        let now = start.elapsed();
        sparkline::tick(now);
        // a second that was slept through is a gap, and is not made up for
        next = (next + SECOND).max(Duration::from_secs(now.as_secs() + 1));
    }
}

fn run_hooks() {
    let hooks = HOOKS.lock().clone();
    for hook in hooks {
        // the panic is a line of the log, by the panic hook
        let _ = catch_unwind(AssertUnwindSafe(|| hook()));
    }
}

/// Thread that runs the hooks: one that hangs stops nothing else.
struct HookThread {
    begin: SyncSender<()>,
    done: Receiver<()>,
    /// Start of the run that has not ended.
    running: Option<Instant>,
    /// It was logged that hooks hang, and no run has ended in time since.
    is_told: bool,
}

impl HookThread {
    fn start() -> io::Result<Self> {
        let (begin, begun) = sync_channel(1);
        let (end, done) = sync_channel(1);
        let run = move || {
            while begun.recv().is_ok() {
                run_hooks();
                let _ = end.send(()); // the ticker lives as long as the process
            }
        };
        let thread = std::thread::Builder::new().name("ops-metrics-hook".into());
        thread.spawn(run)?;
        Ok(Self {
            begin,
            done,
            running: None,
            is_told: false,
        })
    }

    /// Runs the hooks, and waits for them as long as they have time, if nothing was told of them. None is called while an earlier run has
    /// not ended.
    fn run(&mut self) {
        let began = *self.running.get_or_insert_with(|| {
            let _ = self.begin.try_send(()); // there is room, as no run is under way
            Instant::now()
        });
        let left = if self.is_told {
            Duration::ZERO
        } else {
            HOOKS_MAX.saturating_sub(began.elapsed())
        };
        if self.done.recv_timeout(left).is_ok() {
            self.running = None;
            self.is_told &= began.elapsed() > HOOKS_MAX;
        } else if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(
                target: "ops_metrics",
                limit_ms = HOOKS_MAX.as_millis(),
                hint = "a hook of before_tick has not returned: until it has, no hook is called",
                "before_tick_hangs"
            );
        }
    }
}
