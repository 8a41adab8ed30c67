use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::Config;
use crate::error::Error;
use crate::history::{panics, process, runtime, sparkline, ticker};
use crate::recorder::{self, Recorder};
use crate::series::scope::Scope;

static INSTALLING: Mutex<()> = Mutex::new(());

/// Makes the metrics available: registers the catalogs, installs the recorder of the `metrics` facade and starts the 1
/// Hz ticker of sparklines, process and tokio metrics.
///
/// # Errors
///
/// Fails if
///
/// - a limit is 0, or is set for an unknown metric or label;
/// - buckets are invalid, or are set for a metric that is unknown, not a histogram, or already in use;
/// - this was called before, or another crate's recorder is already installed;
/// - no thread can be started.
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
    // the first second begins here, so that the first point includes its events
    let start = Instant::now();
    sparkline::tick(Duration::ZERO, Vec::new());
    ticker::start(start).map_err(Error::Thread)
}

/// Returns `true` once [`init`] was called.
pub fn is_installed() -> bool {
    recorder::is_installed()
}
