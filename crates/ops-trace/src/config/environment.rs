use std::collections::HashMap;
use std::ffi::OsString;
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
#[cfg(feature = "otlp-logs")]
pub(super) const LOGS_SCHEDULE_DELAY: &str = "OTEL_BLRP_SCHEDULE_DELAY";

/// The `OTEL_*` variables of the process, or those passed by a test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(Option<HashMap<String, OsString>>);

/// A variable with an invalid value; one line is logged for each when tracing starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) variable: &'static str,
    pub(crate) value: String,
    pub(crate) accepted: String,
    pub(crate) used: String,
}

impl Environment {
    pub(crate) fn with_variables(variables: impl IntoIterator<Item = (String, OsString)>) -> Self {
        Self(Some(variables.into_iter().collect()))
    }

    /// Returns the value, unless it is unset or blank, which the specification treats alike.
    ///
    /// Bytes that are not UTF-8 become U+FFFD, which no name, number or address contains: the value is refused like any
    /// other invalid one, instead of counting as unset. [`text`](Self::text) reads values that may be any text.
    pub(crate) fn get(&self, variable: &str) -> Option<String> {
        let value = match &self.0 {
            Some(variables) => variables.get(variable).cloned(),
            None => std::env::var_os(variable),
        };
        let value = value?.to_string_lossy().trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    /// Returns a value that may be any text. A value that is not UTF-8 is ignored, with a warning.
    pub(crate) fn text(
        &self,
        variable: &'static str,
        warnings: &mut Vec<Warning>,
    ) -> Option<String> {
        let value = self.get(variable)?;
        if is_text(&value) {
            return Some(value);
        }
        let used = "treated as unset";
        warn(warnings, variable, value, "UTF-8 text", used);
        None
    }

    /// Returns the first of these variables that is set.
    pub(crate) fn first(&self, variables: &[&'static str]) -> Option<(&'static str, String)> {
        variables
            .iter()
            .find_map(|name| self.get(name).map(|value| (*name, value)))
    }

    /// Returns the first of these variables that is a number in this
    /// range; other values set before it are ignored, with a warning.
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
        let mut refused = Vec::new();
        let set = variables
            .iter()
            .filter_map(|name| Some((*name, self.get(name)?)));
        let mut numbers = set.filter_map(|(variable, value)| {
            let number = value.parse::<N>().ok();
            let number = number.filter(|number| *number >= least && *number <= most);
            if number.is_none() {
                refused.push((variable, value));
            }
            number
        });
        let used = numbers.next().unwrap_or(default);
        warnings.extend(refused.into_iter().map(|(variable, value)| Warning {
            variable,
            value,
            accepted: format!("a number from {least} to {most}"),
            used: used.to_string(),
        }));
        used
    }

    /// Returns a [`number`](Self::number) of milliseconds as a duration.
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

    /// Returns the first of these variables that is set, in lower case: names in variables are not case-sensitive.
    pub(crate) fn name(&self, variables: &[&'static str]) -> Option<(&'static str, String)> {
        let (variable, value) = self.first(variables)?;
        Some((variable, value.to_ascii_lowercase()))
    }

    /// Warns about a variable that is set to anything but the only supported value.
    pub(super) fn warn_unless(
        &self,
        variable: &'static str,
        only: &'static str,
        warnings: &mut Vec<Warning>,
    ) {
        let value = self.name(&[variable]).map(|(_, value)| value);
        if let Some(value) = value.filter(|value| value != only) {
            warn(warnings, variable, value, only, only);
        }
    }

    /// Reports whether `OTEL_SDK_DISABLED` is `true`.
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

/// Returns the value of `variables`, which override the setting `below`.
/// Warnings about that setting are dropped if a valid variable overrides it.
pub(super) fn overridden_by<T>(
    env: &Environment,
    variables: &[&'static str],
    below: impl FnOnce(&mut Vec<Warning>) -> T,
    read: impl FnOnce(T, &mut Vec<Warning>) -> T,
    warnings: &mut Vec<Warning>,
) -> T {
    let (mut of_below, before) = (Vec::new(), warnings.len());
    let below = below(&mut of_below);
    let value = read(below, warnings);
    let is_overridden = env.first(variables).is_some() && warnings.len() == before;
    if !is_overridden {
        warnings.append(&mut of_below);
    }
    value
}

/// Returns a setting of the program, clamped to its range. A clamped value is a warning.
pub(super) fn clamped<N: Ord + Copy>(
    setting: &'static str,
    value: N,
    (least, most): (N, N),
    show: impl Fn(N) -> String,
    warnings: &mut Vec<Warning>,
) -> N {
    let used = value.clamp(least, most);
    if used != value {
        warnings.push(Warning {
            variable: setting,
            value: show(value),
            accepted: format!("a number from {} to {}", show(least), show(most)),
            used: show(used),
        });
    }
    used
}

/// Clamps a time as [`clamped`] does; warnings show it in milliseconds.
pub(super) fn clamped_time(
    setting: &'static str,
    value: Duration,
    range: (Duration, Duration),
    warnings: &mut Vec<Warning>,
) -> Duration {
    let millis = |time: Duration| time.as_millis().to_string();
    clamped(setting, value, range, millis, warnings)
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

/// Returns false for text that contains U+FFFD, which stands for bytes that are not UTF-8.
pub(crate) fn is_text(text: &str) -> bool {
    !text.contains(char::REPLACEMENT_CHARACTER)
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
