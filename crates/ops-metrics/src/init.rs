use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::Config;
use crate::error::Error;
use crate::history::{panics, process, runtime, sparkline};
use crate::recorder::{self, Recorder};
use crate::series::scope::Scope;

/// Seconds between two looks at the process.
const PROCESS_SECONDS: u64 = 5;
const SECOND: Duration = Duration::from_secs(1);

static INSTALLING: Mutex<()> = Mutex::new(());
static TICK_HOOKS: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>> = Mutex::new(Vec::new());

/// Makes the metrics available: registers the catalogs, becomes the recorder of the `metrics` facade and starts the
/// 1 Hz ticker of sparklines, process and tokio metrics.
///
/// # Errors
///
/// Fails if a limit is 0 or of an unknown label, this was called before, another crate's recorder is installed already, or no
/// thread could be started.
pub fn init(config: Config) -> Result<(), Error> {
    let _one = INSTALLING.lock();
    if recorder::is_installed() {
        return Err(Error::AlreadyInitialized);
    }
    config.apply(&Scope::process().limits)?;
    runtime::observe_runtime();
    metrics::set_global_recorder(Recorder).map_err(|_| Error::RecorderTaken)?;
    panics::count();
    process::sample(Path::new("/"));
    recorder::set_installed();
    // the first second begins here, so that what happens in it is in the first point
    let start = Instant::now();
    sparkline::tick(Duration::ZERO);
    std::thread::Builder::new()
        .name("ops-metrics".into())
        .spawn(move || tick(start))
        .map_err(Error::Thread)?;
    Ok(())
}

/// Returns `true` once [`init`] was called.
pub fn is_installed() -> bool {
    recorder::is_installed()
}

/// Has `publish` called each second, before the sparklines take their point: for totals that are counted elsewhere and drawn.
///
/// It runs on the thread of the ticker and must be quick: a second in which it does not return is a gap. A panic in it is
/// caught, and leaves the totals as they are.
pub fn before_tick(publish: impl Fn() + Send + Sync + 'static) {
    TICK_HOOKS.lock().push(Arc::new(publish));
}

fn run_tick_hooks() {
    let hooks = TICK_HOOKS.lock().clone();
    for hook in hooks {
        // the panic is a line of the log, by the panic hook
        let _ = catch_unwind(AssertUnwindSafe(|| hook()));
    }
}

fn tick(start: Instant) {
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
        run_tick_hooks();
        // hooks that take their time make a gap: the totals are those of this moment
        let now = start.elapsed();
        sparkline::tick(now);
        // a second that was slept through is a gap, and is not made up for
        next = (next + SECOND).max(Duration::from_secs(now.as_secs() + 1));
    }
}
