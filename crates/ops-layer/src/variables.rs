//! Variables of this project. A misspelled one has no effect, so it is reported instead of ignored.

use strsim::osa_distance;

/// Variables of the parts that contain no secret.
pub(crate) const OF_PARTS: [&str; 21] = [
    "OPS_AWS_REGION",
    "OPS_BLACK_BOX",
    "OPS_CACHE_DIR",
    "OPS_CONFIG",
    "OPS_DOTENV",
    "OPS_ENV",
    "OPS_HISTORY_DIR",
    "OPS_LOG_FORMAT",
    "OPS_LOG_LATE_LINES",
    "OPS_LOG_LEVEL",
    "OPS_LOG_RATE_LIMIT",
    "OPS_LOG_ROTATION",
    "OPS_METRICS_SEMANTIC_NAMES",
    "OPS_RESOURCE_DETECTORS",
    "OPS_SECRETS_AWS",
    "OPS_SECRETS_AWS_AGENT",
    "OPS_SECRETS_FILE",
    "OPS_SECRETS_FOLDER",
    "OPS_TRACE_EVENTS",
    "OPS_TRACE_FILTER",
    "OPS_TRACE_KEEP",
];

/// Variables of the server and its page.
const OF_SERVER: [&str; 6] = [
    "OPS_ADMIN_ADDR",
    "OPS_ADMIN_PROFILE",
    "OPS_ADMIN_TOKEN",
    "OPS_ADMIN_TOKEN_FILE",
    "OPS_GRACE_SECONDS",
    "OPS_SHUTDOWN_SECONDS",
];

/// Logs unknown variables that are almost the name of a known one. A program may have its own: those
/// for which `is_taken` returns `true` are not logged, nor are names that are only remotely similar.
pub(crate) fn warn_of_misspelled(is_taken: impl Fn(&str) -> bool) {
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|_| !value.is_empty()) else {
            continue;
        };
        if let Some(known) = closest_variable(name).filter(|_| !is_taken(name)) {
            tracing::warn!(
                target: "ops_layer", variable = name, hint = format!("did you mean {known}?"), "variable_ignored"
            );
        }
    }
}

/// Returns the known variable that is one edit away; for a long name, two.
fn closest_variable(name: &str) -> Option<&'static str> {
    let known = || OF_PARTS.into_iter().chain(OF_SERVER);
    if !name.starts_with("OPS_") || known().any(|known| known == name) {
        return None;
    }
    let most = |known: &str| if known.len() < 16 { 1 } else { 2 };
    let all = known().map(|known| (osa_distance(name, known), known));
    let near = all.filter(|(edits, known)| *edits <= most(known));
    near.min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_a_variable_of_ours_is_meant_and_others_are_the_programs() {
        for (name, known) in [
            ("OPS_LOG_LEVLE", Some("OPS_LOG_LEVEL")),
            ("OPS_LOG_FROMAT", Some("OPS_LOG_FORMAT")),
            ("OPS_LOGFORMAT", Some("OPS_LOG_FORMAT")),
            ("OPS_SHUTDOWN_SECOND", Some("OPS_SHUTDOWN_SECONDS")),
            ("OPS_SHUTDWON_SECONS", Some("OPS_SHUTDOWN_SECONDS")),
            ("OPS_ADMIN_ADR", Some("OPS_ADMIN_ADDR")),
            ("OPS_BLACKBOX", Some("OPS_BLACK_BOX")),
            ("OPS_TRACE_KEEPS", Some("OPS_TRACE_KEEP")),
            ("OPS_LOG_LEVEL", None),
            ("OPS_LOG_LABEL", None),
            ("OPS_TRACE_KEY", None),
            ("OPS_CONFIG_DIR", None),
            ("OPS_TEAM", None),
            ("OPS_", None),
            ("OP_ENV", None),
            ("ops_log_level", None),
            ("OPS_LÖG_LEVEL", Some("OPS_LOG_LEVEL")),
        ] {
            assert_eq!(closest_variable(name), known, "{name}");
        }
    }
}
