use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::{Mutex, RwLock};

use crate::builtin;
use crate::config::Config;
use crate::error::Error;
use crate::history::{process, runtime, sparkline};
use crate::recorder::Recorder;
use crate::scrape::exposition;
use crate::series::definition::Kind;
use crate::series::guard::{Limits, overflows};
use crate::series::registry;
use crate::series::rejected::Reason;

/// Seconds between two drains of foreign histograms: the exporter keeps each sample until then.
const UPKEEP_SECONDS: u64 = 5;
const SECOND: Duration = Duration::from_secs(1);

static FOREIGN: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());
static HOOKS: RwLock<Vec<Arc<dyn Fn() + Send + Sync>>> = RwLock::new(Vec::new());

/// Makes the metrics available: registers the catalogues, becomes the recorder of the `metrics` facade and starts the
/// 1 Hz ticker of sparklines, process and tokio metrics. A second call applies its configuration, and
/// watches the tokio runtime that it is called on.
///
/// # Errors
///
/// A limit is 0 or of an unknown label, another crate's recorder is installed already, or no thread could be started.
pub fn install(config: Config) -> Result<(), Error> {
    let _one = INSTALLING.lock();
    config.apply(Limits::global())?;
    runtime::observe_runtime();
    if FOREIGN.get().is_some() {
        return Ok(());
    }
    let (recorder, handle) = Recorder::new()?;
    metrics::set_global_recorder(recorder).map_err(|_| Error::RecorderTaken)?;
    process::sample();
    FOREIGN.get_or_init(|| handle);
    std::thread::Builder::new()
        .name("ops-metrics".into())
        .spawn(tick)
        .map_err(Error::Thread)?;
    Ok(())
}

/// Whether [`install`] was called.
pub fn is_installed() -> bool {
    FOREIGN.get().is_some()
}

/// Has `publish` called before each scrape: for totals that are counted elsewhere.
///
/// One that panics is reported; the scrape goes on without it.
pub fn before_scrape(publish: impl Fn() + Send + Sync + 'static) {
    HOOKS.write().push(Arc::new(publish));
}

/// The text exposition, format 0.0.4: the catalogue in its order, then what other crates recorded.
///
/// # Errors
///
/// [`Error::NotInstalled`] before [`install`].
pub fn render() -> Result<String, Error> {
    let foreign = FOREIGN.get().ok_or(Error::NotInstalled)?;
    let hooks = HOOKS.read().clone();
    for hook in hooks {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook())).is_err() {
            tracing::error!(target: "ops_metrics", "before_scrape_panicked");
        }
    }
    Ok(render_with(foreign))
}

pub(crate) fn render_with(foreign: &PrometheusHandle) -> String {
    publish();
    let timer = builtin::ops_metrics_render_seconds().start_timer();
    let size = builtin::ops_metrics_render_bytes();
    let mut text = String::with_capacity(size.get() as usize + 16 * 1024);
    for family in registry::all() {
        exposition::write_family(&mut text, family);
    }
    text.push_str(&foreign.render());
    drop(timer);
    size.set(text.len() as f64);
    text
}

/// What the guard knows. Each label is there with 0 from the start, so that its first overflow is an increase.
fn publish() {
    for family in registry::all() {
        let definition = family.definition();
        for label in definition.labels {
            builtin::ops_metrics_overflow_total(definition.name, label.name).add(0);
        }
        if matches!(definition.kind, Kind::Gauge | Kind::Histogram) {
            builtin::ops_metrics_rejected_total(definition.name, Reason::NonFinite).add(0);
        }
    }
    for overflow in overflows() {
        builtin::ops_metrics_overflow_total(overflow.metric, overflow.label)
            .absolute(overflow.count);
    }
    for family in registry::all() {
        builtin::ops_metrics_series(family.definition().name).set(family.len() as f64);
    }
}

fn tick() {
    let start = Instant::now();
    let mut next = SECOND;
    let mut until_upkeep = 0;
    loop {
        std::thread::sleep(next.saturating_sub(start.elapsed()));
        let now = start.elapsed();
        runtime::sample();
        if until_upkeep == 0 {
            process::sample();
            FOREIGN.get().inspect(|foreign| foreign.run_upkeep());
            until_upkeep = UPKEEP_SECONDS;
        }
        until_upkeep -= 1;
        sparkline::tick(now);
        // a second that was slept through is a gap, and is not made up for
        next = (next + SECOND).max(now);
    }
}
