use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::config::resolved::{Mode, Resolved};
use crate::export::pipeline::Pipeline;
use crate::export::queue_limiter::QueueLimiter;
use crate::propagation::{self, Hosts};
use crate::sampling::LiveRatio;
use crate::{Config, Error, RecentTraces, Stats};

/// Makes spans and tells what became of them. Cheap to clone; any number may be alive.
///
/// The free functions of this crate use the handle that [`init`](crate::init) installed.
#[derive(Clone)]
pub struct Handle(Arc<Core>);

struct Core {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    ratio: LiveRatio,
    limiter: QueueLimiter,
    propagate: bool,
    propagate_to: Hosts,
    disabled: bool,
}

impl Handle {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let resolved = Resolved::new(config)?;
        for warning in &resolved.warnings {
            warning.tell();
        }
        let pipeline = Pipeline::new(&resolved)?;
        tell(&resolved);
        Ok(Self(Arc::new(Core {
            tracer: pipeline.provider.tracer("ops-trace"),
            provider: pipeline.provider,
            ratio: pipeline.ratio,
            limiter: pipeline.limiter,
            propagate: resolved.propagate,
            propagate_to: Hosts::new(resolved.propagate_to),
            disabled: resolved.mode == Mode::Disabled,
        })))
    }

    /// What became of the spans so far.
    pub fn stats(&self) -> Stats {
        self.0.limiter.state.stats()
    }

    /// The traces of late.
    pub fn recent(&self) -> RecentTraces {
        self.0.limiter.state.ring.read()
    }

    /// Samples this share of new traces for so long, then the configured one again.
    ///
    /// # Errors
    /// A ratio that is not a number from 0 to 1.
    pub fn set_sampling_ratio(&self, ratio: f64, ttl: Duration) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::InvalidRatio { ratio });
        }
        self.0.ratio.set(ratio, ttl);
        Ok(())
    }

    /// The share of new traces that is sampled now.
    pub fn sampling_ratio(&self) -> f64 {
        self.0.ratio.get()
    }

    /// Whether the last export reached the collector; `None` before the first one.
    pub fn last_export_ok(&self) -> Option<bool> {
        let stats = self.stats();
        let tried = stats.exported + stats.rejected + stats.export_failures > 0;
        tried.then_some(stats.exporter_up)
    }

    /// [`inject_to`](crate::inject_to) by this handle's list of hosts.
    pub fn inject_to(&self, host: &str, headers: &mut HeaderMap) -> bool {
        let known = self.0.propagate && self.0.propagate_to.contains(host);
        if known {
            propagation::inject(headers);
        }
        known
    }

    /// Hands what waits to the exporter now, instead of at the next interval. Blocks for at most 5 s; for tests and
    /// batch jobs.
    pub fn flush(&self) {
        // an error says that time was up: the counts say the same
        drop(self.0.provider.force_flush());
    }

    /// This handle, of whatever holds one.
    #[doc(hidden)]
    pub fn as_handle(&self) -> &Self {
        self
    }

    /// The tracer that makes spans; `None` where none is to be made.
    pub(crate) fn tracer(&self) -> Option<&SdkTracer> {
        (!self.0.disabled).then_some(&self.0.tracer)
    }

    pub(crate) fn provider(&self) -> SdkTracerProvider {
        self.0.provider.clone()
    }

    pub(crate) fn limiter(&self) -> &QueueLimiter {
        &self.0.limiter
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn take_export_seconds(&self) -> Vec<f64> {
        std::mem::take(&mut *self.0.limiter.state.export_seconds.lock())
    }

    pub(crate) fn propagates(&self) -> bool {
        self.0.propagate
    }
}

// a panic between two spans leaves nothing half done here: there are only counters and bounded lists
impl std::panic::UnwindSafe for Handle {}
impl std::panic::RefUnwindSafe for Handle {}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("disabled", &self.0.disabled)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The line that the runbook has one look for in the log of the start.
fn tell(config: &Resolved) {
    let (sampler, ratio) = (config.sampler.name(), config.ratio);
    match config.mode {
        Mode::Disabled => {
            tracing::info!(target: "ops_trace", disabled = true, "tracer_initialized");
        }
        Mode::NoExporter => {
            tracing::info!(target: "ops_trace", exporter = "none", sampler, ratio, "tracer_initialized");
        }
        Mode::Console => {
            tracing::info!(target: "ops_trace", exporter = "console", sampler, ratio, "tracer_initialized");
        }
        Mode::Otlp => {
            let (endpoint, protocol) = (config.url.as_str(), "http/protobuf");
            tracing::info!(target: "ops_trace", endpoint, protocol, sampler, ratio, "tracer_initialized");
        }
    }
}
