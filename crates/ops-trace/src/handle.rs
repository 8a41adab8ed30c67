use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use opentelemetry::Context;
#[cfg(feature = "http")]
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

#[cfg(any(feature = "otlp-logs", feature = "otlp-metrics"))]
use crate::SignalStats;
use crate::config::resolved::Resolved;
use crate::export::pipeline::{self, Pipeline};
use crate::export::queue_limiter::QueueLimiter;
use crate::otlp::Signals;
use crate::propagation::{self, Formats, Hosts, baggage};
use crate::sampling::{LiveSampler, Sampling};
use crate::{Config, Error, ExportHealth, RecentTraces, Stats};

/// Handle of running tracing: makes spans and reads counts. Cheap to clone.
///
/// The free functions of this crate use the handle that [`init`](crate::init) installed.
#[derive(Clone)]
pub struct Handle(Arc<Core>);

struct Core {
    tracer: SdkTracer,
    /// Scope of the tracer's spans.
    #[cfg(feature = "http")]
    scope: InstrumentationScope,
    provider: SdkTracerProvider,
    sampler: LiveSampler,
    limiter: QueueLimiter,
    signals: Signals,
    formats: Formats,
    #[cfg(feature = "http")]
    baggage_attributes: Vec<String>,
    baggage_fields: Vec<String>,
    propagate_to: Hosts,
    disabled: bool,
    /// Variables and settings whose value is invalid, each with the value used instead.
    unusable: Vec<(&'static str, String)>,
    #[cfg(feature = "tracing-spans")]
    foreign_spans: crate::config::spans::ForeignSpans,
}

impl Handle {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let resolved = Resolved::new(config)?;
        for warning in &resolved.warnings {
            warning.log();
        }
        let pipeline = Pipeline::new(&resolved)?;
        let closing = &pipeline.limiter.state.closing;
        let signals = Signals::start(&resolved, &pipeline.resource, closing)?;
        log_start(&resolved);
        let unusable = resolved.warnings.into_iter();
        let unusable = unusable.filter(|warning| warning.value != warning.used);
        let unusable = unusable.map(|warning| (warning.variable, warning.used));
        let scope = pipeline::scope();
        Ok(Self(Arc::new(Core {
            tracer: pipeline.provider.tracer_with_scope(scope.clone()),
            #[cfg(feature = "http")]
            scope,
            provider: pipeline.provider,
            sampler: pipeline.sampler,
            limiter: pipeline.limiter,
            signals,
            formats: resolved.formats,
            #[cfg(feature = "http")]
            baggage_attributes: resolved.baggage_attributes,
            baggage_fields: resolved.baggage_fields,
            propagate_to: resolved.propagate_to,
            disabled: resolved.disabled,
            unusable: unusable.collect(),
            #[cfg(feature = "tracing-spans")]
            foreign_spans: resolved.foreign_spans,
        })))
    }

    /// Returns the variables and settings whose value is invalid, each with the value used
    /// instead: those logged as `variable_not_usable`. A value that is used despite its
    /// warning, such as an endpoint with the port of gRPC, is not included.
    pub fn unusable(&self) -> &[(&'static str, String)] {
        &self.0.unusable
    }

    /// Returns the counts of spans so far.
    pub fn stats(&self) -> Stats {
        let tail = self.0.limiter.tail.as_ref();
        Stats {
            tail_evicted: tail.map_or(0, |tail| tail.evicted()),
            ..self.0.limiter.state.stats()
        }
    }

    /// Returns the counts of log lines so far; `None` if they are not exported.
    #[cfg(feature = "otlp-logs")]
    pub fn log_stats(&self) -> Option<SignalStats> {
        self.signal_stats("logs")
    }

    /// Returns the counts of data points of metrics so far; `None` if they are not exported.
    #[cfg(feature = "otlp-metrics")]
    pub fn metric_stats(&self) -> Option<SignalStats> {
        self.signal_stats("metrics")
    }

    #[cfg(any(feature = "otlp-logs", feature = "otlp-metrics"))]
    fn signal_stats(&self, signal: &str) -> Option<SignalStats> {
        let mut all = self.0.signals.stats();
        all.find_map(|(name, stats)| (name == signal).then_some(stats))
    }

    /// Returns the state of the export.
    pub fn export_health(&self) -> ExportHealth {
        self.0.limiter.state.health()
    }

    /// Returns recent traces.
    pub fn recent(&self) -> RecentTraces {
        self.0.limiter.state.ring.read()
    }

    /// Samples this share of new traces for the given time, then the configured share again.
    ///
    /// # Errors
    /// Fails if the ratio is not a number from 0 to 1.
    pub fn set_sampling_ratio(&self, ratio: f64, ttl: Duration) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::InvalidRatio { ratio });
        }
        self.0.sampler.ratio.set(ratio, ttl);
        Ok(())
    }

    /// Returns the share of new traces that is sampled now.
    pub fn sampling_ratio(&self) -> f64 {
        self.0.sampler.ratio.get()
    }

    /// Returns the share of new traces that is sampled, and for how long.
    pub fn sampling(&self) -> Sampling {
        self.0.sampler.ratio.sampling()
    }

    /// Returns whether the last export worked; `None` before the first one.
    pub fn last_export_ok(&self) -> Option<bool> {
        let stats = self.stats();
        let tried = stats.exported + stats.rejected + stats.export_failures > 0;
        tried.then_some(stats.exporter_up)
    }

    /// Adds the trace context to the headers if this handle's list names the host; see [`inject_to`](crate::inject_to).
    pub fn inject_to(&self, host: &str, headers: &mut HeaderMap) -> bool {
        let known = self.passes_context_to(host);
        if known {
            Context::map_current(|context| self.inject(context, headers));
        }
        known
    }

    /// Reports whether requests to this host carry the trace context.
    pub(crate) fn passes_context_to(&self, host: &str) -> bool {
        self.0.formats != Formats::NONE && self.0.propagate_to.contains(host)
    }

    /// Exports pending spans now, instead of at the next interval. Blocks for at most 5 s; for tests and batch jobs.
    pub fn flush(&self) {
        // an error means that the time was up, which the counts show too
        drop(self.0.provider.force_flush());
    }

    /// Returns the handle of a tracer or of itself, for [`span!`](crate::span!).
    #[doc(hidden)]
    pub fn as_handle(&self) -> &Self {
        self
    }

    /// Returns the tracer that makes spans; `None` if tracing is disabled.
    pub(crate) fn tracer(&self) -> Option<&SdkTracer> {
        (!self.0.disabled).then_some(&self.0.tracer)
    }

    pub(crate) fn provider(&self) -> SdkTracerProvider {
        self.0.provider.clone()
    }

    /// Stops accepting spans and other items; [`stop`](Self::stop) sends those that are pending.
    pub(crate) fn close(&self, budget: Duration) {
        self.0.limiter.state.closing.close(budget);
        self.0.signals.close();
    }

    /// Sends pending items within the budget. Blocks for up to that time.
    pub(crate) fn stop(&self, budget: Duration) {
        let started = Instant::now();
        self.0.limiter.stop(budget);
        self.0
            .signals
            .stop(budget.saturating_sub(started.elapsed()));
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn signals(&self) -> &Signals {
        &self.0.signals
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn take_export_seconds(&self) -> Vec<f64> {
        std::mem::take(&mut *self.0.limiter.state.export_seconds.lock())
    }

    #[cfg(feature = "tracing-spans")]
    pub(crate) fn foreign_spans(&self) -> &crate::config::spans::ForeignSpans {
        &self.0.foreign_spans
    }

    /// Reports whether the descendants of a span that is neither
    /// sampled nor recorded are not recorded either, except requests.
    #[cfg(feature = "tracing-spans")]
    pub(crate) fn children_follow(&self) -> bool {
        self.0.sampler.parent_based && !self.0.sampler.records_all
    }

    /// Returns the instrumentation scope of the tracer's spans.
    #[cfg(feature = "http")]
    pub(crate) fn scope(&self) -> &InstrumentationScope {
        &self.0.scope
    }

    #[cfg(feature = "http")]
    pub(crate) fn limiter(&self) -> &QueueLimiter {
        &self.0.limiter
    }

    /// Returns the sampler, which decides which spans are sampled.
    pub(crate) fn sampler(&self) -> &LiveSampler {
        &self.0.sampler
    }

    pub(crate) fn inject(&self, context: &Context, headers: &mut HeaderMap) {
        propagation::inject(context, headers, self.0.formats);
    }

    /// Returns the header formats that carry the context.
    pub(crate) fn formats(&self) -> Formats {
        self.0.formats
    }

    /// Returns the baggage keys that become attributes.
    #[cfg(feature = "http")]
    pub(crate) fn baggage_attributes(&self) -> &[String] {
        &self.0.baggage_attributes
    }

    /// Returns the baggage of the current context under the keys of [`Config::baggage_field`], in their order.
    pub fn current_baggage_fields(&self) -> Vec<(String, String)> {
        let keys = &self.0.baggage_fields;
        if keys.is_empty() {
            return Vec::new();
        }
        Context::map_current(|current| {
            let value = |key: &String| Some((key.clone(), baggage::value(current, key)?));
            keys.iter().filter_map(value).collect()
        })
    }
}

// a panic between two spans leaves no half-updated state: there are only counters and bounded lists
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

/// Logs the start line that the runbook refers to.
fn log_start(config: &Resolved) {
    let (service, sampler, ratio) = (
        config.service_name.as_str(),
        config.sampler.name(),
        config.ratio,
    );
    if config.disabled {
        tracing::info!(target: "ops_trace", service, disabled = true, "tracer_initialized");
        return;
    }
    match (&config.otlp, config.console) {
        (Some(otlp), console) => {
            let exporter = if console { "otlp,console" } else { "otlp" };
            let (endpoint, protocol) = (otlp.url.as_str(), "http/protobuf");
            tracing::info!(
                target: "ops_trace", service, exporter, endpoint, protocol, sampler, ratio, "tracer_initialized"
            );
        }
        (None, console) => {
            let exporter = if console { "console" } else { "none" };
            tracing::info!(target: "ops_trace", service, exporter, sampler, ratio, "tracer_initialized");
        }
    }
}
