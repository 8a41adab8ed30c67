use super::environment::{ARGUMENT, Environment, KEEP, SAMPLER, Warning, warn};
use crate::{Config, Error};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SamplerKind {
    /// The ratio decides about the root of a trace; the parent decides about the spans below.
    ParentBased,
    /// The ratio decides about each span, whatever its parent.
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

/// Returns the sampler and its ratio. The program's ratio wins over
/// the environment's; the kind of sampler is the environment's.
pub(crate) fn sampler(
    config: &Config,
    warnings: &mut Vec<Warning>,
) -> Result<(SamplerKind, f64), Error> {
    let set = config.sampling_ratio;
    let below = set.or(config.below_env.sampling_ratio).unwrap_or(1.0);
    let (kind, ratio) = of_environment(&config.environment, set, below, warnings);
    let ratio = set.unwrap_or(ratio);
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Error::InvalidRatio { ratio });
    }
    Ok((kind, ratio))
}

/// Reads the sampler of the environment. `below` is the ratio if the environment
/// sets none; `set` is the ratio that the program set above the environment.
fn of_environment(
    env: &Environment,
    set: Option<f64>,
    below: f64,
    warnings: &mut Vec<Warning>,
) -> (SamplerKind, f64) {
    let name = env.name(&[SAMPLER]).map(|(_, name)| name);
    let (kind, fixed) = match name.as_deref() {
        Some("parentbased_traceidratio") => {
            return (SamplerKind::ParentBased, argument(env, below, warnings));
        }
        Some("traceidratio") => return (SamplerKind::Ratio, argument(env, below, warnings)),
        None => (SamplerKind::ParentBased, below),
        Some("always_on") => (SamplerKind::Ratio, 1.0),
        Some("always_off") => (SamplerKind::Ratio, 0.0),
        Some("parentbased_always_on") => (SamplerKind::ParentBased, 1.0),
        Some("parentbased_always_off") => (SamplerKind::ParentBased, 0.0),
        Some(other) => {
            let accepted =
                "always_on, always_off, traceidratio, or one of them with the prefix parentbased_";
            let used = if below == 1.0 {
                "parentbased_always_on".to_owned()
            } else {
                format!("parentbased_traceidratio, {below}")
            };
            warn(warnings, SAMPLER, other.to_owned(), accepted, &used);
            (SamplerKind::ParentBased, below)
        }
    };
    if let Some(value) = env.get(ARGUMENT) {
        let accepted =
            "a ratio, only with OTEL_TRACES_SAMPLER=parentbased_traceidratio or traceidratio";
        let used = set.unwrap_or(fixed).to_string();
        warn(warnings, ARGUMENT, value, accepted, &used);
    }
    if let (Some(ratio), Some(name)) = (set.filter(|ratio| *ratio != fixed), name) {
        let accepted =
            "parentbased_traceidratio or traceidratio, since the program sets sampling_ratio";
        let used = format!("{}, {ratio}", kind.name());
        warn(warnings, SAMPLER, name, accepted, &used);
    }
    (kind, fixed)
}

/// Returns the ratio of the variable, not clamped: 5 more likely means
/// 5 % than 100 %, so a warning is logged instead of a guess made.
fn argument(env: &Environment, below: f64, warnings: &mut Vec<Warning>) -> f64 {
    let Some(value) = env.get(ARGUMENT) else {
        return below;
    };
    let ratio = value.parse().ok().filter(|r| (0.0..=1.0).contains(r));
    ratio.unwrap_or_else(|| {
        let used = below.to_string();
        warn(warnings, ARGUMENT, value, "a number from 0 to 1", &used);
        below
    })
}

/// Traces that are exported even if the sampler dropped them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) errors: bool,
    pub(crate) slow: bool,
}

impl Keep {
    pub(crate) fn is_on(self) -> bool {
        self.errors || self.slow
    }

    pub(super) fn words(self) -> &'static str {
        match (self.errors, self.slow) {
            (true, true) => "errors, slow",
            (true, false) => "errors",
            (false, true) => "slow",
            (false, false) => "none",
        }
    }
}

/// Reads `OPS_TRACE_KEEP`: `errors`, `slow`, both, or `none`. Settings of the program win.
pub(crate) fn keep(config: &Config, warnings: &mut Vec<Warning>) -> Keep {
    let variable = KEEP;
    let list = config.environment.name(&[variable]).map(|(_, list)| list);
    let (mut named, mut is_known, mut unknown) = (Keep::default(), false, false);
    let names = list
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    for name in names.filter(|name| !name.is_empty()) {
        match name {
            "errors" => named.errors = true,
            "slow" => named.slow = true,
            "none" => {}
            _ => {
                unknown = true;
                continue;
            }
        }
        is_known = true;
    }
    let below = &config.below_env;
    let keep = if is_known {
        named
    } else {
        Keep {
            errors: below.keep_errors.unwrap_or_default(),
            slow: below.keep_slow.unwrap_or_default(),
        }
    };
    if unknown {
        let accepted = "none, or any of errors, slow";
        let (list, used) = (list.unwrap_or_default(), keep.words());
        warn(warnings, variable, list, accepted, used);
    }
    Keep {
        errors: config.keep_errors.unwrap_or(keep.errors),
        slow: config.keep_slow.unwrap_or(keep.slow),
    }
}
