use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::environment::{Environment, Warning, is_text, warn};

/// Choice of `tracing` spans that become spans of ours.
#[derive(Clone, Debug)]
pub(crate) struct ForeignSpans {
    pub(crate) targets: Targets,
    /// Events become events of their span.
    pub(crate) events: bool,
}

/// Reads `OPS_TRACE_FILTER` and `OPS_TRACE_EVENTS`.
pub(crate) fn of_spans(env: &Environment, warnings: &mut Vec<Warning>) -> ForeignSpans {
    let variable = "OPS_TRACE_FILTER";
    let default = Targets::new().with_default(LevelFilter::INFO);
    let targets = match env.get(variable) {
        Some(value) => value
            .parse()
            .ok()
            .filter(|_| is_text(&value))
            .unwrap_or_else(|| {
                let accepted = "targets and levels, such as info,sqlx=debug,h2=off";
                warn(warnings, variable, value, accepted, "info");
                default
            }),
        None => default,
    };
    let variable = "OPS_TRACE_EVENTS";
    let events = match env.name(&[variable]) {
        Some((_, value)) if value == "true" => true,
        Some((_, value)) if value != "false" => {
            warn(warnings, variable, value, "true, false", "false");
            false
        }
        _ => false,
    };
    ForeignSpans { targets, events }
}
