//! Settings, in descending precedence: the program, the `OTEL_*` variables, the defaults.

mod delay;
mod detect;
mod endpoint;
pub(crate) mod environment;
mod headers;
pub(crate) mod otlp;
mod overruled;
mod pairs;
pub(crate) mod resolved;
mod resource;
pub(crate) mod sampler;
mod signal;
pub(crate) mod signals;
#[cfg(feature = "tracing-spans")]
pub(crate) mod spans;
pub(crate) mod tls;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use environment::Environment;

pub(crate) const QUEUE_SPANS: usize = 2048;
pub(crate) const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(5);
pub(crate) const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Configuration of tracing. Unset values are taken from the `OTEL_*` variables.
///
/// In a file the keys are the names of the methods, times are whole milliseconds (`export_timeout_ms`), `resource` is a
/// map, `propagate_to`, `baggage_attributes` and `baggage_fields` are lists. Unknown keys are an error. A number out of
/// range is set to the nearest valid one, and logged as `variable_not_usable`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "endpoint, sampling_ratio and the other keys of tracing"
)]
pub struct Config {
    #[serde(default)]
    pub(crate) service_name: String,
    #[serde(default)]
    pub(crate) service_version: Option<String>,
    #[serde(default)]
    pub(crate) resource: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    /// Settings with a lower precedence than the environment.
    #[serde(skip)]
    pub(crate) below_env: BelowEnv,
    #[serde(default, deserialize_with = "ratio")]
    pub(crate) sampling_ratio: Option<f64>,
    #[serde(default)]
    pub(crate) queue_spans: Option<usize>,
    #[serde(default, rename = "export_timeout_ms", deserialize_with = "millis")]
    pub(crate) export_timeout: Option<Duration>,
    #[serde(default, rename = "export_delay_ms", deserialize_with = "millis")]
    pub(crate) export_delay: Option<Duration>,
    #[serde(default, rename = "probe_after_ms", deserialize_with = "millis")]
    pub(crate) probe_after: Option<Duration>,
    #[serde(default, rename = "slow_after_ms", deserialize_with = "millis")]
    pub(crate) slow_after: Option<Duration>,
    #[serde(default)]
    pub(crate) keep_errors: Option<bool>,
    #[serde(default)]
    pub(crate) keep_slow: Option<bool>,
    #[serde(default)]
    pub(crate) export_logs: Option<bool>,
    #[serde(default)]
    pub(crate) export_metrics: Option<bool>,
    #[cfg(feature = "otlp-logs")]
    #[serde(skip)]
    pub(crate) log_lines: Option<crate::LogLines>,
    #[cfg(feature = "otlp-metrics")]
    #[serde(skip)]
    pub(crate) metrics_source: Option<crate::signals::MetricsSource>,
    #[serde(default)]
    pub(crate) propagate_to: Vec<String>,
    #[serde(default)]
    pub(crate) baggage_attributes: Vec<String>,
    #[serde(default)]
    pub(crate) baggage_fields: Vec<String>,
    #[serde(skip, default = "root")]
    pub(crate) files_below: PathBuf,
    #[serde(skip)]
    pub(crate) environment: Environment,
}

/// Settings that apply if the variable of the setting is unset or invalid.
#[derive(Clone, Debug, Default)]
pub(crate) struct BelowEnv {
    pub(crate) endpoint: Option<String>,
    pub(crate) sampling_ratio: Option<f64>,
    pub(crate) queue_spans: Option<usize>,
    pub(crate) export_timeout: Option<Duration>,
    pub(crate) export_delay: Option<Duration>,
    pub(crate) keep_errors: Option<bool>,
    pub(crate) keep_slow: Option<bool>,
    pub(crate) export_logs: Option<bool>,
    pub(crate) export_metrics: Option<bool>,
    pub(crate) service_version: Option<String>,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Config {
    fn delay(&self) -> delay::Delay {
        delay::Delay {
            set: self.export_delay,
            below: self.below_env.export_delay,
        }
    }

    /// Creates the configuration of a service. `OTEL_SERVICE_NAME` and
    /// `service.name` in `OTEL_RESOURCE_ATTRIBUTES` win over `service_name`.
    pub fn new(service_name: impl Into<String>) -> Self {
        Self {
            service_name: service_name.into(),
            service_version: None,
            resource: BTreeMap::new(),
            endpoint: None,
            below_env: BelowEnv::default(),
            sampling_ratio: None,
            queue_spans: None,
            export_timeout: None,
            export_delay: None,
            probe_after: None,
            slow_after: None,
            keep_errors: None,
            keep_slow: None,
            export_logs: None,
            export_metrics: None,
            #[cfg(feature = "otlp-logs")]
            log_lines: None,
            #[cfg(feature = "otlp-metrics")]
            metrics_source: None,
            propagate_to: Vec::new(),
            baggage_attributes: Vec::new(),
            baggage_fields: Vec::new(),
            files_below: root(),
            environment: Environment::default(),
        }
    }

    /// Sets the name of the service, as [`new`](Self::new) does.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = name.into();
        self
    }

    /// Lets the environment override the settings made so far, as is usual for settings from a file: a setting whose
    /// variable is set to a valid value is taken from the variable. Without this call, the settings of the program win.
    #[must_use]
    pub fn with_env(mut self) -> Self {
        fn lower<T>(set: &mut Option<T>, below: &mut Option<T>) {
            if set.is_some() {
                *below = set.take();
            }
        }
        let below = &mut self.below_env;
        lower(&mut self.endpoint, &mut below.endpoint);
        lower(&mut self.sampling_ratio, &mut below.sampling_ratio);
        lower(&mut self.queue_spans, &mut below.queue_spans);
        lower(&mut self.export_timeout, &mut below.export_timeout);
        lower(&mut self.export_delay, &mut below.export_delay);
        lower(&mut self.keep_errors, &mut below.keep_errors);
        lower(&mut self.keep_slow, &mut below.keep_slow);
        lower(&mut self.export_logs, &mut below.export_logs);
        lower(&mut self.export_metrics, &mut below.export_metrics);
        lower(&mut self.service_version, &mut below.service_version);
        below.resource.append(&mut self.resource);
        self
    }

    /// Returns the service's name as in spans: `OTEL_SERVICE_NAME`, then `service.name` in `OTEL_RESOURCE_ATTRIBUTES`,
    /// then the program's. `None` if there is none.
    ///
    /// For log lines and metrics that need the same name.
    pub fn resolved_service_name(&self) -> Option<String> {
        let resource = resource::resource(self, &mut Vec::new()).ok()?;
        Some(resource.service_name)
    }

    /// Sets the version of the service, as `service.version`.
    #[must_use]
    pub fn service_version(mut self, version: impl Into<String>) -> Self {
        self.service_version = Some(version.into());
        self
    }

    /// Adds an attribute of the resource, such as `deployment.environment.name`.
    #[must_use]
    pub fn resource_attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource.insert(key.into(), value.into());
        self
    }

    /// Sends spans to this OTLP/HTTP endpoint. `/v1/traces` is appended for spans, `/v1/metrics` for metrics and
    /// `/v1/logs` for log lines. Default `http://localhost:4318`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Samples this share, from 0 to 1, of the traces that begin here. Default 1.
    #[must_use]
    pub fn sampling_ratio(mut self, ratio: f64) -> Self {
        self.sampling_ratio = Some(ratio);
        self
    }

    /// Sets the capacity of the queue in spans (64 to 65,536, default 2,048); further spans are dropped and counted.
    #[must_use]
    pub fn queue_spans(mut self, spans: usize) -> Self {
        self.queue_spans = Some(spans);
        self
    }

    /// Sets the timeout of one export, retries included: 10 ms to 60 s, default 3 s.
    #[must_use]
    pub fn export_timeout(mut self, timeout: Duration) -> Self {
        self.export_timeout = Some(timeout);
        self
    }

    /// Sets the maximum time between two exports: 100 ms to a day, default 1 s.
    #[must_use]
    pub fn export_delay(mut self, delay: Duration) -> Self {
        self.export_delay = Some(delay);
        self
    }

    /// Sets the first pause after three failed exports, default 5 s, 100 ms to a day. Each further pause is twice as
    /// long, up to 60 s; up to 20 % are added at random. A `Retry-After` of the collector replaces the pause.
    #[must_use]
    pub fn probe_after(mut self, pause: Duration) -> Self {
        self.probe_after = Some(pause);
        self
    }

    /// Sets the minimum duration of a slow trace, for [`recent`](crate::recent)
    /// and [`keep_slow`](Self::keep_slow). Default 1 s.
    #[must_use]
    pub fn slow_after(mut self, duration: Duration) -> Self {
        self.slow_after = Some(duration);
        self
    }

    /// Exports traces with a failed span even if the sampler dropped them.
    /// The default is on with `OPS_TRACE_KEEP=errors`, otherwise off.
    ///
    /// The decision is made when the root of this process ends. Until then the spans of the trace wait:
    /// at most 64 spans of a trace that are connected with its root, 2,048 traces and 16 MiB; beyond that
    /// the oldest traces are dropped and counted in [`Stats::tail_evicted`](crate::Stats::tail_evicted).
    /// Called services see a trace that is not sampled.
    #[must_use]
    pub fn keep_errors(mut self, on: bool) -> Self {
        self.keep_errors = Some(on);
        self
    }

    /// Exports traces whose root took at least [`slow_after`](Self::slow_after), even if the sampler dropped them; see
    /// [`keep_errors`](Self::keep_errors). The default is on with `OPS_TRACE_KEEP=slow`, otherwise off.
    #[must_use]
    pub fn keep_slow(mut self, on: bool) -> Self {
        self.keep_slow = Some(on);
        self
    }

    /// Turns the export of log lines on or off. The default is on with
    /// `OTEL_LOGS_EXPORTER=otlp`, otherwise off: lines that are also collected from a file would
    /// arrive twice. Needs the feature `otlp-logs`; without it a warning is logged.
    #[must_use]
    pub fn export_logs(mut self, on: bool) -> Self {
        self.export_logs = Some(on);
        self
    }

    /// Turns the export of metrics on or off. The default is on with
    /// `OTEL_METRICS_EXPORTER=otlp`, otherwise off: metrics that are also scraped would arrive
    /// twice. Needs the feature `otlp-metrics`; without it a warning is logged.
    #[must_use]
    pub fn export_metrics(mut self, on: bool) -> Self {
        self.export_metrics = Some(on);
        self
    }

    /// Reports whether [`export_logs`](Self::export_logs) or the environment turns the export of log lines on, and this
    /// crate can send them. Otherwise there is no need to write lines.
    pub fn exports_logs(&self) -> bool {
        let mut unheard = Vec::new();
        signals::logs_wanted(self, &mut unheard) && !self.environment.is_disabled(&mut unheard)
    }

    /// Exports the lines that are written to `lines`, if [`export_logs`](Self::export_logs) is on.
    #[cfg(feature = "otlp-logs")]
    #[must_use]
    pub fn log_lines(mut self, lines: &crate::LogLines) -> Self {
        self.log_lines = Some(lines.clone());
        self
    }

    /// Calls this function for all metrics at each `OTEL_METRIC_EXPORT_INTERVAL` and at the end, if
    /// [`export_metrics`](Self::export_metrics) is on. It runs on a separate thread; a call that panics or does not
    /// return costs only that export. While four calls hang, no further call is made.
    #[cfg(feature = "otlp-metrics")]
    #[must_use]
    pub fn metrics_source(
        mut self,
        source: impl Fn(&mut crate::MetricsBatch) + Send + Sync + 'static,
    ) -> Self {
        self.metrics_source = Some(crate::signals::MetricsSource::new(source));
        self
    }

    /// Adds a host to which [`inject_to`](crate::inject_to) passes the trace context, on any port; `*.example.com`
    /// means all hosts below that domain. An entry that is not a host, such as a URL, is logged as a warning.
    #[must_use]
    pub fn propagate_to(mut self, host: impl Into<String>) -> Self {
        self.propagate_to.push(host.into());
        self
    }

    /// Makes the value of this baggage key an attribute of server spans, under the same name. Baggage is read from trusted
    /// peers only, and if `OTEL_PROPAGATORS` names `baggage`.
    #[must_use]
    pub fn baggage_attribute(mut self, key: impl Into<String>) -> Self {
        self.baggage_attributes.push(key.into());
        self
    }

    /// Adds the value of this baggage key to [`current_baggage_fields`](crate::current_baggage_fields), which ops-layer
    /// adds to each log line of a request, under the same name. Baggage is read as for
    /// [`baggage_attribute`](Self::baggage_attribute).
    #[must_use]
    pub fn baggage_field(mut self, key: impl Into<String>) -> Self {
        self.baggage_fields.push(key.into());
        self
    }

    /// Reads the files of the machine (`/proc`, `/etc`) below this folder, for tests.
    #[must_use]
    pub fn files_below(mut self, folder: impl Into<PathBuf>) -> Self {
        self.files_below = folder.into();
        self
    }

    /// Reads these variables instead of those of the process, for tests, which share one process.
    #[must_use]
    pub fn environment<K: Into<String>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(k, v)| (k.into(), v.into()));
        self.environment = Environment::with_variables(variables);
        self
    }
}

fn root() -> PathBuf {
    PathBuf::from("/")
}

fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(deserializer).map(|ratio| ratio.map(|Ratio(ratio)| ratio))
}

/// Sampling ratio of a file, checked while the deserializer still knows its line.
struct Ratio(f64);

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(RatioVisitor)
    }
}

struct RatioVisitor;

impl Visitor<'_> for RatioVisitor {
    type Value = Ratio;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 1")
    }

    fn visit_f64<E: serde::de::Error>(self, ratio: f64) -> Result<Ratio, E> {
        match (0.0..=1.0).contains(&ratio) {
            true => Ok(Ratio(ratio)),
            false => Err(E::custom(crate::Error::InvalidRatio { ratio })),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, ratio: u64) -> Result<Ratio, E> {
        self.visit_f64(ratio as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, ratio: i64) -> Result<Ratio, E> {
        self.visit_f64(ratio as f64)
    }
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(|millis| millis.map(Duration::from_millis))
}
