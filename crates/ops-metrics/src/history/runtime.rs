use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::builtin::{
    tokio_alive_tasks, tokio_global_queue_depth, tokio_scheduler_lag_seconds,
    tokio_worker_busy_seconds_total, tokio_workers,
};

static OBSERVED: Mutex<Option<Observed>> = Mutex::new(None);

struct Observed {
    runtime: Handle,
    /// True while a probe has not run yet: one probe is enough while a runtime is blocked.
    probe_pending: Arc<AtomicBool>,
}

/// Reads the `tokio_*` metrics from the current runtime from now on; outside of a runtime nothing changes.
/// [`init`](crate::init) calls this; the last runtime wins.
pub fn observe_runtime() {
    if let Ok(runtime) = Handle::try_current() {
        *OBSERVED.lock() = Some(Observed {
            runtime,
            probe_pending: Arc::default(),
        });
    }
}

/// Reads the counts, and spawns a task that observes how long it waited to run.
pub(crate) fn sample() {
    let observed = OBSERVED.lock();
    let Some(Observed {
        runtime,
        probe_pending,
    }) = &*observed
    else {
        return;
    };
    let metrics = runtime.metrics();
    tokio_workers().set(metrics.num_workers() as f64);
    tokio_alive_tasks().set(metrics.num_alive_tasks() as f64);
    tokio_global_queue_depth().set(metrics.global_queue_depth() as f64);
    busy(&metrics);
    if !probe_pending.swap(true, Ordering::Relaxed) {
        let (sent, probe_pending) = (Instant::now(), Arc::clone(probe_pending));
        drop(runtime.spawn(async move {
            tokio_scheduler_lag_seconds().observe(sent.elapsed().as_secs_f64());
            probe_pending.store(false, Ordering::Relaxed);
        }));
    }
}

#[cfg(target_has_atomic = "64")]
fn busy(metrics: &tokio::runtime::RuntimeMetrics) {
    let workers = 0..metrics.num_workers();
    let total = workers
        .map(|worker| metrics.worker_total_busy_duration(worker))
        .sum();
    tokio_worker_busy_seconds_total().absolute(total);
}

#[cfg(not(target_has_atomic = "64"))]
fn busy(_: &tokio::runtime::RuntimeMetrics) {}
