use std::time::Duration;

use super::endpoint;
use super::{EXPORT_DELAY, EXPORT_TIMEOUT, PROBE_AFTER, QUEUE_SPANS, SLOW_AFTER};
use crate::config::environment::{Environment, Warning};
use crate::limits::{Limits, MAX_ATTRIBUTES, MAX_VALUE_BYTES};
use crate::{Config, Error};

const QUEUE: (usize, usize) = (64, 65_536);
const BATCH_SPANS: usize = 512;
const TIMEOUT_MS: (u64, u64) = (10, 60_000);
const DELAY_MS: (u64, u64) = (100, 60_000);

/// A configuration with the environment applied and every limit clamped.
pub(crate) struct Resolved {
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) gzip: bool,
    pub(crate) sampler: SamplerKind,
    pub(crate) ratio: f64,
    pub(crate) mode: Mode,
    pub(crate) queue_spans: usize,
    pub(crate) batch_spans: usize,
    pub(crate) export_timeout: Duration,
    pub(crate) export_delay: Duration,
    pub(crate) probe_after: Duration,
    pub(crate) slow_after: Duration,
    pub(crate) limits: Limits,
    pub(crate) propagate: bool,
    pub(crate) propagate_to: Vec<String>,
    pub(crate) warnings: Vec<Warning>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Otlp,
    /// Spans are written to standard output, and kept for [`recent`](crate::recent).
    Console,
    /// Spans are made and kept for [`recent`](crate::recent), and not sent.
    NoExporter,
    /// No span is recorded; trace ids still travel.
    Disabled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SamplerKind {
    /// The ratio is asked where a trace begins; below, the parent decides.
    ParentBased,
    /// The ratio is asked for each span, whatever its parent.
    Ratio,
}

impl SamplerKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ParentBased => "parentbased_traceidratio",
            Self::Ratio => "traceidratio",
        }
    }
}

impl Resolved {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let (env, mut warnings) = (&config.environment, Vec::new());
        let resource = resource(&config, &mut warnings)?;
        let mode = mode(env, &mut warnings);
        let url = match mode {
            Mode::Otlp => url(&config, &mut warnings)?,
            // nothing is sent
            Mode::Console | Mode::NoExporter | Mode::Disabled => endpoint::DEFAULT.to_owned(),
        };
        let (sampler, ratio) = sampler(&config, &mut warnings)?;
        let queue_spans = queue_spans(&config, &mut warnings);
        let batch = (1, queue_spans);
        Ok(Self {
            resource,
            url,
            headers: headers(env, &mut warnings),
            gzip: gzip(env, &mut warnings),
            sampler,
            ratio,
            mode,
            queue_spans,
            batch_spans: env.number(
                &["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"],
                batch,
                BATCH_SPANS.min(queue_spans),
                &mut warnings,
            ),
            export_timeout: export_timeout(&config, &mut warnings),
            export_delay: export_delay(&config, &mut warnings),
            probe_after: config
                .probe_after
                .unwrap_or(PROBE_AFTER)
                .max(Duration::from_millis(100)),
            slow_after: config.slow_after.unwrap_or(SLOW_AFTER),
            limits: limits(env, &mut warnings),
            propagate: propagate(env, &mut warnings),
            propagate_to: config.propagate_to,
            warnings,
        })
    }
}

fn resource(config: &Config, warnings: &mut Vec<Warning>) -> Result<Vec<(String, String)>, Error> {
    let env = &config.environment;
    let mut resource = env.pairs("OTEL_RESOURCE_ATTRIBUTES", warnings);
    let in_resource = resource
        .iter()
        .find(|(key, _)| key == "service.name")
        .map(|(_, name)| name.clone());
    let name = Some(config.service_name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| env.get("OTEL_SERVICE_NAME"))
        .or(in_resource)
        .ok_or(Error::EmptyServiceName)?;
    resource.push(("service.name".to_owned(), name));
    if let Some(version) = &config.service_version {
        resource.push(("service.version".to_owned(), version.clone()));
    }
    let more = config.resource.iter();
    resource.extend(more.map(|(key, value)| (key.clone(), value.clone())));
    Ok(resource)
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// As the specification has it: the variable for traces is taken as it is, to the general one the path is appended.
fn url(config: &Config, warnings: &mut Vec<Warning>) -> Result<String, Error> {
    let env = &config.environment;
    let given = config.endpoint.as_deref().map(str::trim);
    let url = match given.filter(|e| !e.is_empty()) {
        Some(endpoint) => endpoint::with_path(endpoint)?,
        None => match (env.get(TRACES_ENDPOINT), env.get(ENDPOINT)) {
            (Some(endpoint), _) => {
                endpoint::as_it_is(&endpoint).map_err(|error| error.of(TRACES_ENDPOINT))?
            }
            (None, Some(endpoint)) => {
                endpoint::with_path(&endpoint).map_err(|error| error.of(ENDPOINT))?
            }
            (None, None) => endpoint::with_path(endpoint::DEFAULT)?,
        },
    };
    if endpoint::is_grpc_port(&url) {
        warnings.push(Warning {
            variable: "endpoint",
            value: url.clone(),
            accepted: "the http port, which is 4318 by default; 4317 is the one for gRPC"
                .to_owned(),
            used: url.clone(),
        });
    }
    Ok(url)
}

fn mode(env: &Environment, warnings: &mut Vec<Warning>) -> Mode {
    if let Some(value) = env.get("OTEL_SDK_DISABLED") {
        if value.eq_ignore_ascii_case("true") {
            return Mode::Disabled;
        }
        if !value.eq_ignore_ascii_case("false") {
            warn(warnings, "OTEL_SDK_DISABLED", value, "true, false", "false");
        }
    }
    match env.get("OTEL_TRACES_EXPORTER").as_deref() {
        Some("none") => Mode::NoExporter,
        Some("console") => Mode::Console,
        None | Some("otlp") => Mode::Otlp,
        Some(other) => {
            let accepted = "otlp, console, none";
            warn(
                warnings,
                "OTEL_TRACES_EXPORTER",
                other.to_owned(),
                accepted,
                "otlp",
            );
            Mode::Otlp
        }
    }
}

fn sampler(config: &Config, warnings: &mut Vec<Warning>) -> Result<(SamplerKind, f64), Error> {
    let env = &config.environment;
    let name = env.get("OTEL_TRACES_SAMPLER");
    let (kind, fixed) = match name.as_deref() {
        None | Some("parentbased_traceidratio") => (SamplerKind::ParentBased, None),
        Some("always_on") => (SamplerKind::Ratio, Some(1.0)),
        Some("always_off") => (SamplerKind::Ratio, Some(0.0)),
        Some("traceidratio") => (SamplerKind::Ratio, None),
        Some("parentbased_always_on") => (SamplerKind::ParentBased, Some(1.0)),
        Some("parentbased_always_off") => (SamplerKind::ParentBased, Some(0.0)),
        Some(other) => {
            let accepted =
                "always_on, always_off, traceidratio, each also with parentbased_ before it";
            let used = "parentbased_traceidratio";
            warn(
                warnings,
                "OTEL_TRACES_SAMPLER",
                other.to_owned(),
                accepted,
                used,
            );
            (SamplerKind::ParentBased, None)
        }
    };
    if let Some(ratio) = config.sampling_ratio {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::InvalidRatio { ratio });
        }
        return Ok((kind, ratio));
    }
    let from_argument = || ratio_variable(env, warnings);
    Ok((kind, fixed.unwrap_or_else(from_argument)))
}

/// Not clamped: 5 is more likely meant as 5 % than as 100 %, so that it is told and not guessed.
fn ratio_variable(env: &Environment, warnings: &mut Vec<Warning>) -> f64 {
    let Some(value) = env.get("OTEL_TRACES_SAMPLER_ARG") else {
        return 1.0;
    };
    let ratio = value.parse().ok().filter(|r| (0.0..=1.0).contains(r));
    ratio.unwrap_or_else(|| {
        warn(
            warnings,
            "OTEL_TRACES_SAMPLER_ARG",
            value,
            "a number from 0 to 1",
            "1",
        );
        1.0
    })
}

fn queue_spans(config: &Config, warnings: &mut Vec<Warning>) -> usize {
    match config.queue_spans {
        Some(spans) => spans.clamp(QUEUE.0, QUEUE.1),
        None => {
            config
                .environment
                .number(&["OTEL_BSP_MAX_QUEUE_SIZE"], QUEUE, QUEUE_SPANS, warnings)
        }
    }
}

fn export_timeout(config: &Config, warnings: &mut Vec<Warning>) -> Duration {
    let [least, most] = [TIMEOUT_MS.0, TIMEOUT_MS.1].map(Duration::from_millis);
    let names = [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_BSP_EXPORT_TIMEOUT",
    ];
    match config.export_timeout {
        Some(timeout) => timeout.clamp(least, most),
        None => config
            .environment
            .millis(&names, TIMEOUT_MS, EXPORT_TIMEOUT, warnings),
    }
}

fn export_delay(config: &Config, warnings: &mut Vec<Warning>) -> Duration {
    match config.export_delay {
        Some(delay) => delay.max(Duration::from_millis(DELAY_MS.0)),
        None => config.environment.millis(
            &["OTEL_BSP_SCHEDULE_DELAY"],
            DELAY_MS,
            EXPORT_DELAY,
            warnings,
        ),
    }
}

fn limits(env: &Environment, warnings: &mut Vec<Warning>) -> Limits {
    let bytes = [
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    ];
    let count = [
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
    ];
    let mut each = |name, default| env.number(&[name], (0, 128), default, warnings);
    let (events, links) = (
        each("OTEL_SPAN_EVENT_COUNT_LIMIT", 128),
        each("OTEL_SPAN_LINK_COUNT_LIMIT", 128),
    );
    Limits {
        value_bytes: env.number(&bytes, (1, MAX_VALUE_BYTES), MAX_VALUE_BYTES, warnings),
        attributes: env.number(&count, (1, MAX_ATTRIBUTES), MAX_ATTRIBUTES, warnings),
        events,
        links,
    }
}

fn headers(env: &Environment, warnings: &mut Vec<Warning>) -> Vec<(String, String)> {
    let names = [
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ];
    env.first(&names)
        .map(|(name, _)| env.pairs(name, warnings))
        .unwrap_or_default()
}

fn gzip(env: &Environment, warnings: &mut Vec<Warning>) -> bool {
    let protocol = [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ];
    if let Some((name, value)) = env.first(&protocol)
        && value != "http/protobuf"
    {
        warn(warnings, name, value, "http/protobuf", "http/protobuf");
    }
    let compression = [
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
    ];
    match env.first(&compression) {
        Some((_, value)) if value == "gzip" && cfg!(feature = "gzip") => true,
        Some((name, value)) if value != "none" => {
            let accepted = if cfg!(feature = "gzip") {
                "gzip, none"
            } else {
                "none; gzip with the feature `gzip`"
            };
            warn(warnings, name, value, accepted, "none");
            false
        }
        _ => false,
    }
}

fn propagate(env: &Environment, warnings: &mut Vec<Warning>) -> bool {
    let Some(value) = env.get("OTEL_PROPAGATORS") else {
        return true;
    };
    let mut names = value.split(',').map(str::trim);
    if names.clone().all(|name| name == "none") {
        return false;
    }
    if !names.all(|name| matches!(name, "tracecontext" | "baggage")) {
        let accepted = "tracecontext, none; baggage is accepted and not propagated";
        warn(
            warnings,
            "OTEL_PROPAGATORS",
            value,
            accepted,
            "tracecontext",
        );
    }
    true
}

fn warn(
    warnings: &mut Vec<Warning>,
    variable: &'static str,
    value: String,
    accepted: &str,
    used: &str,
) {
    warnings.push(Warning {
        variable,
        value,
        accepted: accepted.to_owned(),
        used: used.to_owned(),
    });
}
