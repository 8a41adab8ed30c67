//! Settings: those of the program, then the `OTEL_*` variables, then the defaults.

mod endpoint;
pub(crate) mod environment;
pub(crate) mod resolved;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use environment::Environment;

pub(crate) const QUEUE_SPANS: usize = 2048;
pub(crate) const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
pub(crate) const EXPORT_DELAY: Duration = Duration::from_secs(1);
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(5);
pub(crate) const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Names the service, and where its spans go. What is not set here is taken from the `OTEL_*` variables.
///
/// In a file the keys are the names of the methods, times are whole milliseconds (`export_timeout_ms`), `resource` is a
/// map and `propagate_to` a list. Keys that are not known are refused.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) service_name: String,
    #[serde(default)]
    pub(crate) service_version: Option<String>,
    #[serde(default)]
    pub(crate) resource: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    #[serde(default)]
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
    pub(crate) propagate_to: Vec<String>,
    #[serde(skip)]
    pub(crate) environment: Environment,
}

impl Config {
    /// For the service of this name, all else by the environment or default.
    pub fn new(service_name: impl Into<String>) -> Self {
        Self {
            service_name: service_name.into(),
            service_version: None,
            resource: BTreeMap::new(),
            endpoint: None,
            sampling_ratio: None,
            queue_spans: None,
            export_timeout: None,
            export_delay: None,
            probe_after: None,
            slow_after: None,
            propagate_to: Vec::new(),
            environment: Environment::default(),
        }
    }

    /// Says which version of the service this is, as `service.version`.
    #[must_use]
    pub fn service_version(mut self, version: impl Into<String>) -> Self {
        self.service_version = Some(version.into());
        self
    }

    /// Adds an attribute to all that this process sends, such as `deployment.environment.name`.
    #[must_use]
    pub fn resource_attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource.insert(key.into(), value.into());
        self
    }

    /// Sends spans to this OTLP/HTTP endpoint; `/v1/traces` is appended. Default `http://localhost:4318`.
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

    /// Holds at most so many ended spans (64 to 65,536, default 2,048); more are dropped and counted.
    #[must_use]
    pub fn queue_spans(mut self, spans: usize) -> Self {
        self.queue_spans = Some(spans);
        self
    }

    /// Gives up on one export, retries included, after this time: 10 ms to 60 s, default 3 s.
    #[must_use]
    pub fn export_timeout(mut self, timeout: Duration) -> Self {
        self.export_timeout = Some(timeout);
        self
    }

    /// Exports at least this often, default each second; 100 ms is the shortest.
    #[must_use]
    pub fn export_delay(mut self, delay: Duration) -> Self {
        self.export_delay = Some(delay);
        self
    }

    /// Asks a collector that is away after this time whether it is back, and then after twice the time up to 60 s, with
    /// up to 20 % of chance added. Default 5 s; 100 ms is the shortest.
    #[must_use]
    pub fn probe_after(mut self, pause: Duration) -> Self {
        self.probe_after = Some(pause);
        self
    }

    /// Keeps traces that took this long apart from the others in [`recent`](crate::recent). Default 1 s.
    #[must_use]
    pub fn slow_after(mut self, duration: Duration) -> Self {
        self.slow_after = Some(duration);
        self
    }

    /// Lets [`inject_to`](crate::inject_to) pass the trace context on to this host; `*.example.com` are all below it.
    #[must_use]
    pub fn propagate_to(mut self, host: impl Into<String>) -> Self {
        self.propagate_to.push(host.into());
        self
    }

    /// Reads these variables instead of those of the process: for tests, which share one process.
    #[must_use]
    pub fn environment<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(k, v)| (k.into(), v.into()));
        self.environment = Environment::of(variables);
        self
    }
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(|millis| millis.map(Duration::from_millis))
}
