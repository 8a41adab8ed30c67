use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

pub(super) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
pub(super) const LOGS_EXPORTER: &str = "OTEL_LOGS_EXPORTER";
pub(super) const METRICS_EXPORTER: &str = "OTEL_METRICS_EXPORTER";
pub(super) const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
pub(super) const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
pub(super) const KEEP: &str = "OPS_TRACE_KEEP";
pub(super) const QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
pub(super) const SCHEDULE_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";

/// The `OTEL_*` variables: those of the process, or those that a test hands over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(Option<HashMap<String, String>>);

/// A variable whose value cannot be used: one line when tracing starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) variable: &'static str,
    pub(crate) value: String,
    pub(crate) accepted: String,
    pub(crate) used: String,
}

impl Environment {
    pub(crate) fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(Some(variables.into_iter().collect()))
    }

    /// The value, unless it is not set or blank, which the specification has for the same.
    pub(crate) fn get(&self, variable: &str) -> Option<String> {
        let value = match &self.0 {
            Some(variables) => variables.get(variable).cloned(),
            None => std::env::var(variable).ok(),
        };
        value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    }

    /// The first of these that is set.
    pub(crate) fn first(&self, variables: &[&'static str]) -> Option<(&'static str, String)> {
        variables
            .iter()
            .find_map(|name| self.get(name).map(|value| (*name, value)))
    }

    /// Returns the first of these that is set, as a number in this range; anything else is ignored, with a warning.
    pub(crate) fn number<N>(
        &self,
        variables: &[&'static str],
        (least, most): (N, N),
        default: N,
        warnings: &mut Vec<Warning>,
    ) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let Some((variable, value)) = self.first(variables) else {
            return default;
        };
        match value.parse::<N>() {
            Ok(number) if number >= least && number <= most => number,
            _ => {
                warnings.push(Warning {
                    variable,
                    value,
                    accepted: format!("a number from {least} to {most}"),
                    used: default.to_string(),
                });
                default
            }
        }
    }

    /// Returns [`number`](Self::number) of milliseconds.
    pub(crate) fn millis(
        &self,
        variables: &[&'static str],
        (least, most): (u64, u64),
        default: Duration,
        warnings: &mut Vec<Warning>,
    ) -> Duration {
        let default = u64::try_from(default.as_millis()).unwrap_or(most);
        Duration::from_millis(self.number(variables, (least, most), default, warnings))
    }

    /// Returns the first of these that is set, in lower case: names in variables have no case.
    pub(crate) fn name(&self, variables: &[&'static str]) -> Option<(&'static str, String)> {
        let (variable, value) = self.first(variables)?;
        Some((variable, value.to_ascii_lowercase()))
    }

    /// `key=value,key=value` with percent-encoded values, as headers and resource attributes are written.
    pub(crate) fn pairs(
        &self,
        variable: &'static str,
        warnings: &mut Vec<Warning>,
    ) -> Vec<(String, String)> {
        let Some(value) = self.get(variable) else {
            return Vec::new();
        };
        let (mut pairs, mut bad) = (Vec::new(), false);
        for item in value.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            match item.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    pairs.push((key.trim().to_owned(), percent_decoded(value.trim())));
                }
                _ => bad = true,
            }
        }
        if bad {
            warnings.push(Warning {
                variable,
                value: "***".to_owned(), // headers carry credentials
                accepted: "key=value,key=value".to_owned(),
                used: format!("the {} pairs that are well formed", pairs.len()),
            });
        }
        pairs
    }

    /// `OTEL_SDK_DISABLED` is `true`.
    pub(super) fn is_disabled(&self, warnings: &mut Vec<Warning>) -> bool {
        let variable = "OTEL_SDK_DISABLED";
        match self.name(&[variable]) {
            Some((_, value)) if value == "true" => true,
            Some((_, value)) if value != "false" => {
                warn(warnings, variable, value, "true, false", "false");
                false
            }
            _ => false,
        }
    }
}

impl Warning {
    pub(crate) fn log(&self) {
        tracing::warn!(
            target: "ops_trace",
            variable = self.variable,
            value = self.value,
            accepted = self.accepted,
            used = self.used,
            "variable_not_usable"
        );
    }
}

pub(crate) fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

pub(crate) fn warn(
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
