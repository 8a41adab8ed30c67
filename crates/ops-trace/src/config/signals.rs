//! Settings of the export of metrics and log lines.

use super::environment::{Environment, LOGS_EXPORTER, METRICS_EXPORTER, Warning, warn};
use crate::{Config, Error};

#[cfg(any(feature = "otlp-logs", feature = "otlp-metrics"))]
use super::{otlp, signal};

/// Settings of the signals that are sent.
pub(crate) struct SignalSettings {
    #[cfg(feature = "otlp-logs")]
    pub(crate) logs: Option<LogsSettings>,
    #[cfg(feature = "otlp-metrics")]
    pub(crate) metrics: Option<MetricsSettings>,
}

#[cfg(feature = "otlp-logs")]
pub(crate) struct LogsSettings {
    pub(crate) otlp: otlp::Otlp,
    pub(crate) lines: crate::LogLines,
    pub(crate) delay: std::time::Duration,
    pub(crate) limits: LogLimits,
}

/// Limits of the attributes of a log record.
#[cfg(feature = "otlp-logs")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    pub(crate) attributes: usize,
    /// Maximum number of characters of a text.
    pub(crate) value_chars: usize,
}

#[cfg(feature = "otlp-metrics")]
pub(crate) struct MetricsSettings {
    pub(crate) otlp: otlp::Otlp,
    pub(crate) source: crate::signals::MetricsSource,
    pub(crate) interval: std::time::Duration,
    /// True if counters and histograms are sent as differences.
    pub(crate) delta: bool,
}

pub(super) fn read(
    config: &Config,
    disabled: bool,
    warnings: &mut Vec<Warning>,
) -> Result<SignalSettings, Error> {
    let logs = logs_wanted(config, warnings) && !disabled;
    let metrics = metrics_wanted(config, warnings) && !disabled;
    let _ = (logs, metrics);
    Ok(SignalSettings {
        #[cfg(feature = "otlp-logs")]
        logs: match &config.log_lines {
            Some(lines) if logs => Some(LogsSettings {
                otlp: otlp::otlp(config, &signal::LOGS, warnings)?,
                lines: lines.clone(),
                delay: config.delay().of_logs(&config.environment, warnings),
                limits: log_limits(&config.environment, warnings),
            }),
            _ => None,
        },
        #[cfg(feature = "otlp-metrics")]
        metrics: match &config.metrics_source {
            Some(source) if metrics => Some(MetricsSettings {
                otlp: otlp::otlp(config, &signal::METRICS, warnings)?,
                source: source.clone(),
                interval: interval(&config.environment, warnings),
                delta: {
                    check_aggregation(&config.environment, warnings);
                    is_delta(&config.environment, warnings)
                },
            }),
            _ => None,
        },
    })
}

pub(super) fn logs_wanted(config: &Config, warnings: &mut Vec<Warning>) -> bool {
    let is_built = cfg!(feature = "otlp-logs");
    let given = Given {
        set: config.export_logs,
        below_env: config.below_env.export_logs,
        setting: "export_logs",
    };
    wanted(
        &config.environment,
        given,
        LOGS_EXPORTER,
        (is_built, "otlp-logs"),
        warnings,
    )
}

pub(super) fn metrics_wanted(config: &Config, warnings: &mut Vec<Warning>) -> bool {
    let is_built = cfg!(feature = "otlp-metrics");
    let given = Given {
        set: config.export_metrics,
        below_env: config.below_env.export_metrics,
        setting: "export_metrics",
    };
    wanted(
        &config.environment,
        given,
        METRICS_EXPORTER,
        (is_built, "otlp-metrics"),
        warnings,
    )
}

/// Exporters in a list.
#[derive(Clone, Copy, Default)]
struct Exporters {
    otlp: bool,
    none: bool,
    /// An unknown exporter, such as `prometheus`.
    unknown: bool,
}

impl Exporters {
    fn of(list: &str) -> Self {
        let mut named = Self::default();
        let names = list.split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            match name {
                "otlp" => named.otlp = true,
                "none" => named.none = true,
                _ => named.unknown = true,
            }
        }
        named
    }
}

/// A setting of the program with its name.
struct Given {
    set: Option<bool>,
    below_env: Option<bool>,
    setting: &'static str,
}

/// Returns the program's setting, or else that of the variable, or else the one below the environment. Without the
/// feature nothing is sent, which is a warning if the export was asked for.
fn wanted(
    env: &Environment,
    given: Given,
    variable: &'static str,
    (is_built, feature): (bool, &str),
    warnings: &mut Vec<Warning>,
) -> bool {
    let below = given.below_env.unwrap_or_default();
    let (source, value, on) = match (given.set, env.name(&[variable])) {
        (Some(on), _) => (given.setting, on.to_string(), on),
        (None, None) => (given.setting, below.to_string(), below),
        (None, Some((_, list))) => {
            let named = Exporters::of(&list);
            let (source, on) = match named {
                Exporters { otlp: true, .. } => (variable, true),
                Exporters { none: true, .. } => (variable, false),
                _ => (given.setting, below),
            };
            if named.unknown || named.otlp && named.none {
                let used = if on && is_built { "otlp" } else { "none" };
                warn(warnings, variable, list.clone(), "none, otlp", used);
            }
            let value = if source == variable {
                list
            } else {
                below.to_string()
            };
            (source, value, on)
        }
    };
    if on && !is_built {
        let accepted = format!("none, or otlp with the feature `{feature}` of ops-trace");
        warn(warnings, source, value, &accepted, "none");
    }
    on && is_built
}

/// Reads the limits of log records. Without a variable only the limits of log lines apply.
#[cfg(feature = "otlp-logs")]
fn log_limits(env: &Environment, warnings: &mut Vec<Warning>) -> LogLimits {
    const MOST: usize = 1_000_000;
    let mut limit =
        |variables: [&'static str; 2]| env.number(&variables, (0, MOST), MOST, warnings);
    LogLimits {
        attributes: limit([
            "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
            "OTEL_ATTRIBUTE_COUNT_LIMIT",
        ]),
        value_chars: limit([
            "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        ]),
    }
}

/// Warns about another aggregation: histograms have the buckets of their source.
#[cfg(feature = "otlp-metrics")]
fn check_aggregation(env: &Environment, warnings: &mut Vec<Warning>) {
    let variable = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    env.warn_unless(variable, "explicit_bucket_histogram", warnings);
}

#[cfg(feature = "otlp-metrics")]
fn interval(env: &Environment, warnings: &mut Vec<Warning>) -> std::time::Duration {
    let minute = std::time::Duration::from_secs(60);
    let variables = ["OTEL_METRIC_EXPORT_INTERVAL"];
    env.millis(&variables, (100, 3_600_000), minute, warnings)
}

/// Reports whether differences are sent. `lowmemory` asks for them only if they need no memory. Here each difference
/// needs some, so `lowmemory` is the same as `delta`: differences of all counters and histograms.
#[cfg(feature = "otlp-metrics")]
fn is_delta(env: &Environment, warnings: &mut Vec<Warning>) -> bool {
    let variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    match env.name(&[variable]) {
        Some((_, value)) if value == "delta" || value == "lowmemory" => true,
        Some((_, value)) if value != "cumulative" => {
            let accepted = "cumulative, delta, lowmemory";
            warn(warnings, variable, value, accepted, "cumulative");
            false
        }
        _ => false,
    }
}
