use std::time::Duration;

use crate::{Error, endpoint};

/// Names the service, and where its spans go. What is not set here is taken from the `OTEL_*` variables.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) service_name: String,
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    #[serde(default)]
    pub(crate) sampling_ratio: Option<f64>,
    #[serde(default = "queue_default")]
    pub(crate) queue_spans: usize,
    #[serde(skip, default = "timeout_default")]
    pub(crate) export_timeout: Duration,
    #[serde(skip, default = "delay_default")]
    pub(crate) export_delay: Duration,
    #[serde(default)]
    pub(crate) propagate_to: Vec<String>,
}

impl Config {
    /// For the service of this name, all else by the environment or default.
    pub fn new(service_name: impl Into<String>) -> Self {
        Self {
            service_name: service_name.into(),
            endpoint: None,
            sampling_ratio: None,
            queue_spans: queue_default(),
            export_timeout: timeout_default(),
            export_delay: delay_default(),
            propagate_to: Vec::new(),
        }
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
        self.queue_spans = spans;
        self
    }

    /// Gives up on one export after this time, default 3 s.
    #[must_use]
    pub fn export_timeout(mut self, timeout: Duration) -> Self {
        self.export_timeout = timeout;
        self
    }

    /// Exports at least this often, default each second; 100 ms is the shortest.
    #[must_use]
    pub fn export_delay(mut self, delay: Duration) -> Self {
        self.export_delay = delay;
        self
    }

    /// Lets [`inject_to`](crate::inject_to) pass the trace context on to this host.
    #[must_use]
    pub fn propagate_to(mut self, host: impl Into<String>) -> Self {
        self.propagate_to.push(host.into());
        self
    }
}

/// A configuration with the environment applied and every limit clamped.
pub(crate) struct Resolved {
    pub(crate) service_name: String,
    pub(crate) url: String,
    pub(crate) ratio: f64,
    pub(crate) mode: Mode,
    pub(crate) queue_spans: usize,
    pub(crate) export_timeout: Duration,
    pub(crate) export_delay: Duration,
    pub(crate) propagate_to: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Otlp,
    /// Spans are made and kept for [`recent`](crate::recent), and not sent.
    NoExporter,
    /// No span is recorded; trace ids still travel.
    Disabled,
}

impl Resolved {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let service_name = Some(config.service_name)
            .filter(|name| !name.trim().is_empty())
            .or_else(|| variable("OTEL_SERVICE_NAME"))
            .ok_or(Error::EmptyServiceName)?;
        let given = config.endpoint.filter(|e| !e.trim().is_empty());
        let endpoint = given
            .or_else(|| variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
            .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
            .unwrap_or_else(|| endpoint::DEFAULT.to_owned());
        let ratio = config.sampling_ratio.or_else(ratio_variable).unwrap_or(1.0);
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::InvalidRatio { ratio });
        }
        Ok(Self {
            service_name,
            url: endpoint::traces_url(&endpoint)?,
            ratio,
            mode: mode(),
            queue_spans: config.queue_spans.clamp(64, 65_536),
            export_timeout: config.export_timeout.max(Duration::from_millis(10)),
            export_delay: config.export_delay.max(Duration::from_millis(100)),
            propagate_to: config.propagate_to,
        })
    }
}

fn mode() -> Mode {
    if variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
        return Mode::Disabled;
    }
    match variable("OTEL_TRACES_EXPORTER").as_deref() {
        Some("none") => Mode::NoExporter,
        None | Some("otlp") => Mode::Otlp,
        Some(other) => {
            tracing::warn!(target: "ops_trace", value = other, accepted = "otlp, none", "OTEL_TRACES_EXPORTER is not known, otlp is used");
            Mode::Otlp
        }
    }
}

fn ratio_variable() -> Option<f64> {
    match variable("OTEL_TRACES_SAMPLER").as_deref() {
        Some("always_on" | "parentbased_always_on") => return Some(1.0),
        Some("always_off" | "parentbased_always_off") => return Some(0.0),
        _ => {}
    }
    let value = variable("OTEL_TRACES_SAMPLER_ARG")?;
    let ratio = value.parse().ok().filter(|r| (0.0..=1.0).contains(r));
    if ratio.is_none() {
        tracing::warn!(target: "ops_trace", value, accepted = "a number from 0 to 1", "OTEL_TRACES_SAMPLER_ARG is not valid, 1 is used");
    }
    ratio
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.trim().is_empty())
}

fn queue_default() -> usize {
    2048
}

fn timeout_default() -> Duration {
    Duration::from_secs(3)
}

fn delay_default() -> Duration {
    Duration::from_secs(1)
}
