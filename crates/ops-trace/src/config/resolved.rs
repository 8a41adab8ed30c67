use std::collections::BTreeMap;
use std::time::Duration;

use super::environment::{
    Environment, QUEUE_SIZE, SCHEDULE_DELAY, Warning, clamped, overridden_by, warn,
};
use super::otlp::{Otlp, otlp};
use super::sampler::{Keep, SamplerKind, keep, sampler};
use super::signal::TRACES;
use super::signals::{self, SignalSettings};
use super::{PROBE_AFTER, QUEUE_SPANS, SLOW_AFTER, delay, resource};
use crate::limits::{Limits, MAX_ATTRIBUTES, MAX_VALUE_BYTES};
use crate::propagation::{Formats, Hosts};
use crate::{Config, Error};

const QUEUE: (usize, usize) = (64, 65_536);
const BATCH_SPANS: usize = 512;

/// Configuration with the environment applied and all limits checked.
pub(crate) struct Resolved {
    pub(crate) service_name: String,
    pub(crate) resource: BTreeMap<String, String>,
    /// True if no span is recorded; trace ids are still propagated.
    pub(crate) disabled: bool,
    /// `None` if spans are not sent.
    pub(crate) otlp: Option<Otlp>,
    /// True if spans are written to standard output.
    pub(crate) console: bool,
    /// Signals other than spans.
    #[cfg_attr(
        not(any(feature = "otlp-logs", feature = "otlp-metrics")),
        expect(dead_code, reason = "there are none")
    )]
    pub(crate) signals: SignalSettings,
    pub(crate) sampler: SamplerKind,
    pub(crate) ratio: f64,
    pub(crate) keep: Keep,
    pub(crate) queue_spans: usize,
    pub(crate) batch_spans: usize,
    pub(crate) export_delay: Duration,
    pub(crate) probe_after: Duration,
    pub(crate) slow_after: Duration,
    pub(crate) limits: Limits,
    pub(crate) formats: Formats,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "servers read it"))]
    pub(crate) baggage_attributes: Vec<String>,
    pub(crate) baggage_fields: Vec<String>,
    pub(crate) propagate_to: Hosts,
    #[cfg(feature = "tracing-spans")]
    pub(crate) foreign_spans: super::spans::ForeignSpans,
    pub(crate) warnings: Vec<Warning>,
}

impl Resolved {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let (env, mut warnings) = (&config.environment, Vec::new());
        check_config_file(env, &mut warnings);
        // metrics have exemplars of sampled traces, or none
        env.warn_unless("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based", &mut warnings);
        let resource = resource::resource(&config, &mut warnings)?;
        let disabled = env.is_disabled(&mut warnings);
        let exporters = exporters(env, &mut warnings);
        let otlp = if exporters.otlp && !disabled {
            Some(otlp(&config, &TRACES, &mut warnings)?)
        } else {
            None
        };
        let signals = signals::read(&config, disabled, &mut warnings)?;
        let (sampler, ratio) = sampler(&config, &mut warnings)?;
        let queue_spans = queue_spans(&config, &mut warnings);
        Ok(Self {
            service_name: resource.service_name,
            resource: resource.attributes,
            disabled,
            otlp,
            console: exporters.console && !disabled,
            signals,
            sampler,
            ratio,
            keep: keep(&config, &mut warnings),
            queue_spans,
            batch_spans: env.number(
                &["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"],
                (1, queue_spans),
                BATCH_SPANS.min(queue_spans),
                &mut warnings,
            ),
            export_delay: (config.delay()).settled(env, SCHEDULE_DELAY, &mut warnings),
            probe_after: {
                let pause = config.probe_after.unwrap_or(PROBE_AFTER);
                delay::bounded("probe_after_ms", pause, &mut warnings)
            },
            slow_after: config.slow_after.unwrap_or(SLOW_AFTER),
            limits: limits(env, &mut warnings),
            formats: formats(env, &mut warnings),
            baggage_attributes: config.baggage_attributes,
            baggage_fields: config.baggage_fields,
            #[cfg(feature = "tracing-spans")]
            foreign_spans: super::spans::of_spans(env, &mut warnings),
            propagate_to: hosts(config.propagate_to, &mut warnings),
            warnings: distinct(warnings),
        })
    }
}

/// Warns about a file of OpenTelemetry's declarative configuration,
/// which would replace all other variables but is not read.
fn check_config_file(env: &Environment, warnings: &mut Vec<Warning>) {
    for variable in ["OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"] {
        if let Some(value) = env.get(variable) {
            let accepted = "unset: OpenTelemetry configuration files are not supported";
            let used = "the other variables";
            warn(warnings, variable, value, accepted, used);
        }
    }
}

/// Removes duplicates: a variable that several signals read is one warning.
fn distinct(warnings: Vec<Warning>) -> Vec<Warning> {
    let mut distinct = Vec::new();
    for warning in warnings {
        if !distinct.contains(&warning) {
            distinct.push(warning);
        }
    }
    distinct
}

#[derive(Default)]
struct Exporters {
    otlp: bool,
    console: bool,
}

/// Reads a list of exporters. Unknown names are ignored; without a known name, OTLP is used.
fn exporters(env: &Environment, warnings: &mut Vec<Warning>) -> Exporters {
    let variable = "OTEL_TRACES_EXPORTER";
    let (mut exporters, mut none, mut unknown) = (Exporters::default(), false, false);
    let list = env.name(&[variable]).map(|(_, list)| list);
    let names = list.as_deref().unwrap_or("otlp").split(',').map(str::trim);
    for name in names.filter(|name| !name.is_empty()) {
        match name {
            "otlp" => exporters.otlp = true,
            "console" => exporters.console = true,
            "none" => none = true,
            _ => unknown = true,
        }
    }
    let some = exporters.otlp || exporters.console;
    exporters.otlp |= !some && !none;
    if unknown || none && some {
        let used = match (exporters.otlp, exporters.console) {
            (true, true) => "otlp, console",
            (true, false) => "otlp",
            (false, true) => "console",
            (false, false) => "none",
        };
        let accepted = "none, or any of otlp, console";
        warn(warnings, variable, list.unwrap_or_default(), accepted, used);
    }
    exporters
}

pub(super) fn queue_spans(config: &Config, warnings: &mut Vec<Warning>) -> usize {
    let env = &config.environment;
    let bounded = |spans, warnings: &mut Vec<Warning>| {
        let show = |spans: usize| spans.to_string();
        clamped("queue_spans", spans, QUEUE, show, warnings)
    };
    if let Some(spans) = config.queue_spans {
        return bounded(spans, warnings);
    }
    let below = config.below_env.queue_spans.unwrap_or(QUEUE_SPANS);
    overridden_by(
        env,
        &[QUEUE_SIZE],
        |warnings| bounded(below, warnings),
        |below, warnings| env.number(&[QUEUE_SIZE], QUEUE, below, warnings),
        warnings,
    )
}

fn limits(env: &Environment, warnings: &mut Vec<Warning>) -> Limits {
    let length = [
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    ];
    let count = [
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
    ];
    let mut each = |name| env.number(&[name], (0, 128), 128, warnings);
    let events = each("OTEL_SPAN_EVENT_COUNT_LIMIT");
    let links = each("OTEL_SPAN_LINK_COUNT_LIMIT");
    let event_attributes = each("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT");
    let link_attributes = each("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT");
    Limits {
        value_chars: env
            .first(&length)
            .map(|_| env.number(&length, (0, MAX_VALUE_BYTES), MAX_VALUE_BYTES, warnings)),
        attributes: env.number(&count, (0, MAX_ATTRIBUTES), MAX_ATTRIBUTES, warnings),
        events,
        links,
        event_attributes,
        link_attributes,
    }
}

fn hosts(hosts: Vec<String>, warnings: &mut Vec<Warning>) -> Hosts {
    let (hosts, refused) = Hosts::parse(hosts);
    for host in refused {
        let (setting, used) = ("propagate_to", "the entry is ignored");
        warn(warnings, setting, host, Hosts::ACCEPTED, used);
    }
    hosts
}

fn formats(env: &Environment, warnings: &mut Vec<Warning>) -> Formats {
    let variable = "OTEL_PROPAGATORS";
    let Some((_, value)) = env.name(&[variable]) else {
        return Formats::default();
    };
    let (formats, is_known) = Formats::parse(&value);
    if !is_known {
        warn(
            warnings,
            variable,
            value,
            Formats::ACCEPTED,
            &formats.names(),
        );
    }
    formats
}
