use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parking_lot::{Mutex, RwLock};

use crate::catalog;
use crate::error::Error;
use crate::family::{Definition, Family, overflows};
use crate::recorder::Recorder;
use crate::{catalogue, exposition, process, sparkline};

/// Seconds between two drains of foreign histograms: the exporter keeps each sample until then.
const UPKEEP_SECONDS: u64 = 5;

static FOREIGN: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());
static HOOKS: RwLock<Vec<Arc<dyn Fn() + Send + Sync>>> = RwLock::new(Vec::new());

/// What [`install`] is told; the default needs nothing.
#[derive(Clone, Debug, Default)]
pub struct Config {
    build: Option<[&'static str; 3]>,
    catalogues: Vec<&'static [fn() -> &'static Family]>,
}

impl Config {
    /// The built-in catalogue, and no `build_info`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `build_info{version,git_sha,rustc}` to 1.
    pub fn build_info(
        mut self,
        version: &'static str,
        git_sha: &'static str,
        rustc: &'static str,
    ) -> Self {
        self.build = Some([version, git_sha, rustc]);
        self
    }

    /// Registers a catalogue of yours as well.
    pub fn catalogue(mut self, catalogue: &'static [fn() -> &'static Family]) -> Self {
        self.catalogues.push(catalogue);
        self
    }
}

/// Makes the metrics available: registers the catalogues, becomes the recorder of the `metrics` facade and starts the
/// 1 Hz ticker of the sparklines. A second call registers its catalogues and changes nothing else.
///
/// # Errors
///
/// Another crate's recorder is installed already, or no thread could be started.
pub fn install(config: Config) -> Result<(), Error> {
    let _one = INSTALLING.lock();
    catalogue::register_built_in();
    for catalogue in config.catalogues {
        catalogue::register(catalogue);
    }
    if let Some([version, git_sha, rustc]) = config.build {
        catalog::build_info(version, git_sha, rustc).set(1.0);
    }
    if FOREIGN.get().is_some() {
        return Ok(());
    }
    let builder = PrometheusBuilder::new();
    let builder = builder
        .set_buckets(Definition::BUCKETS)
        .map_err(|_| Error::RecorderTaken)?;
    let foreign = builder.build_recorder();
    let handle = foreign.handle();
    metrics::set_global_recorder(Recorder::new(foreign)).map_err(|_| Error::RecorderTaken)?;
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
    publish();
    let timer = catalog::ops_metrics_render_seconds().start_timer();
    let mut text = String::with_capacity(64 * 1024);
    for family in catalogue::all() {
        exposition::write_family(&mut text, family);
    }
    text.push_str(&foreign.render());
    drop(timer);
    Ok(text)
}

fn publish() {
    let hooks = HOOKS.read().clone();
    for hook in hooks {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook())).is_err() {
            tracing::error!(target: "ops_metrics", "before_scrape_panicked");
        }
    }
    for overflow in overflows() {
        catalog::ops_metrics_overflow_total(overflow.metric, overflow.label)
            .absolute(overflow.count);
    }
}

fn tick() {
    for second in 1_u64.. {
        std::thread::sleep(Duration::from_secs(1));
        sparkline::tick();
        if second.is_multiple_of(UPKEEP_SECONDS) {
            process::sample();
            if let Some(foreign) = FOREIGN.get() {
                foreign.run_upkeep();
            }
        }
    }
}
