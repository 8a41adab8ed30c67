use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use parking_lot::Mutex;

use crate::client::Client;
use crate::config::{Mode, Resolved};
use crate::export::CountingExporter;
use crate::gate::Gate;
use crate::sampling::LiveRatio;
use crate::shared::Shared;
use crate::{Config, Error, RecentTraces, Stats};

const BATCH_SPANS: usize = 512;
const DROP_BUDGET: Duration = Duration::from_secs(2);

static INSTALLED: OnceLock<Arc<Installed>> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

pub(crate) struct Installed {
    pub(crate) tracer: SdkTracer,
    pub(crate) propagate_to: Vec<String>,
    provider: SdkTracerProvider,
    shared: Arc<Shared>,
    ratio: LiveRatio,
}

/// The process's tracer: keep it until the end, then [`shutdown`](Tracer::shutdown) sends what waits.
///
/// Dropped, it does the same with 2 s, without making an async runtime's thread wait.
#[must_use = "dropping it ends tracing"]
pub struct Tracer {
    installed: Option<Arc<Installed>>,
}

/// Installs tracing for this process. It neither connects nor waits: a collector may come later.
///
/// # Errors
/// A bad endpoint, an empty service name, a bad ratio, or a tracer that is there already.
pub fn init(config: Config) -> Result<Tracer, Error> {
    let resolved = Resolved::new(config)?;
    let _one_at_a_time = INSTALLING.lock();
    if INSTALLED.get().is_some() {
        return Err(Error::AlreadyInitialized);
    }
    let (url, mode, ratio) = (resolved.url.clone(), resolved.mode, resolved.ratio);
    let installed = Arc::new(build(resolved)?);
    opentelemetry::global::set_tracer_provider(installed.provider.clone());
    let installed = INSTALLED.get_or_init(|| installed);
    tell(&url, mode, ratio);
    Ok(Tracer {
        installed: Some(Arc::clone(installed)),
    })
}

/// [`init`] as the overview names it.
///
/// # Errors
/// As [`init`].
pub fn init_tracer(service_name: &str, otlp_endpoint: &str) -> Result<Tracer, Error> {
    init(Config::new(service_name).endpoint(otlp_endpoint))
}

/// What became of the spans so far; all zero before [`init`].
pub fn stats() -> Stats {
    installed().map_or_else(Stats::default, |i| i.stats())
}

/// The traces of late; empty before [`init`].
pub fn recent() -> RecentTraces {
    installed().map_or_else(RecentTraces::default, |i| i.shared.ring.read())
}

/// Samples this share of new traces for so long, then the configured one again.
///
/// # Errors
/// A ratio that is not a number from 0 to 1.
pub fn set_sampling_ratio(ratio: f64, ttl: Duration) -> Result<(), Error> {
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Error::InvalidRatio { ratio });
    }
    if let Some(installed) = installed() {
        installed.ratio.set(ratio, ttl);
    }
    Ok(())
}

/// Whether the last export reached the collector; `None` before the first one.
pub fn collector_answers() -> Option<bool> {
    let stats = stats();
    let tried = stats.exported + stats.rejected + stats.export_failures > 0;
    tried.then_some(stats.exporter_up)
}

pub(crate) fn installed() -> Option<&'static Arc<Installed>> {
    INSTALLED.get()
}

impl Installed {
    fn stats(&self) -> Stats {
        self.shared.counters.read(self.shared.queue_capacity)
    }
}

impl Tracer {
    /// Sends what waits, for at most this time, and says what became of all spans.
    ///
    /// It works on any runtime and needs no timer of one. Spans that end from now on are dropped and counted.
    pub async fn shutdown(mut self, budget: Duration) -> Stats {
        let Some(installed) = self.installed.take() else {
            return Stats::default();
        };
        let (done, wait) = tokio::sync::oneshot::channel();
        if spawn_shutdown(&installed, budget, move || {
            let _ = done.send(());
        }) {
            drop(wait.await);
        }
        installed.stats()
    }

    /// Hands what waits to the exporter now, instead of at the next interval. Blocks; for tests and batch jobs.
    pub fn flush(&self) {
        if let Some(installed) = &self.installed {
            drop(installed.provider.force_flush());
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let Some(installed) = self.installed.take() else {
            return;
        };
        let (done, wait) = std::sync::mpsc::channel();
        let started = spawn_shutdown(&installed, DROP_BUDGET, move || {
            let _ = done.send(());
        });
        if started && tokio::runtime::Handle::try_current().is_err() {
            let _ = wait.recv_timeout(DROP_BUDGET);
        }
    }
}

fn spawn_shutdown(
    installed: &Arc<Installed>,
    budget: Duration,
    done: impl FnOnce() + Send + 'static,
) -> bool {
    installed.shared.close(budget);
    let provider = installed.provider.clone();
    std::thread::Builder::new()
        .name("ops-trace-stop".to_owned())
        .spawn(move || {
            drop(provider.shutdown_with_timeout(budget));
            done();
        })
        .is_ok()
}

fn build(config: Resolved) -> Result<Installed, Error> {
    let shared = Arc::new(Shared::new(config.queue_spans));
    let ratio = LiveRatio::new(config.ratio);
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .build();
    let provider = SdkTracerProvider::builder().with_resource(resource);
    let provider = if config.mode == Mode::Disabled {
        provider.with_sampler(Sampler::AlwaysOff).build()
    } else {
        provider
            .with_sampler(Sampler::parent_based(ratio.clone()))
            .with_span_processor(gate(&config, &shared)?)
            .build()
    };
    Ok(Installed {
        tracer: provider.tracer("ops-trace"),
        propagate_to: config.propagate_to,
        provider,
        shared,
        ratio,
    })
}

fn gate(config: &Resolved, shared: &Arc<Shared>) -> Result<Gate, Error> {
    let exporter = CountingExporter {
        shared: Arc::clone(shared),
        otlp: match config.mode {
            Mode::Otlp => Some(otlp(config, shared)?),
            _ => None,
        },
        breaker: Mutex::default(),
        url: config.url.clone(),
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(config.queue_spans)
        .with_max_export_batch_size(BATCH_SPANS.min(config.queue_spans))
        .with_scheduled_delay(config.export_delay)
        .build();
    Ok(Gate {
        shared: Arc::clone(shared),
        queue: BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build(),
    })
}

fn otlp(
    config: &Resolved,
    shared: &Arc<Shared>,
) -> Result<opentelemetry_otlp::SpanExporter, Error> {
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new(config.export_timeout, Arc::clone(shared)))
        .with_endpoint(&config.url)
        .with_timeout(config.export_timeout)
        .with_retry_policy(RetryPolicy::recommended().with_max_retries(1))
        .build()
        .map_err(|source| Error::Exporter {
            source: source.into(),
        })
}

fn tell(endpoint: &str, mode: Mode, ratio: f64) {
    match mode {
        Mode::Disabled => {
            tracing::info!(target: "ops_trace", disabled = true, "tracer_initialized");
        }
        Mode::NoExporter => {
            tracing::info!(target: "ops_trace", exporter = "none", sampler = "parentbased_traceidratio", ratio, "tracer_initialized");
        }
        Mode::Otlp => {
            tracing::info!(target: "ops_trace", endpoint, protocol = "http/protobuf", sampler = "parentbased_traceidratio", ratio, "tracer_initialized");
        }
    }
}
