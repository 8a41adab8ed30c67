//! Settings of parts that this program is built without: they change nothing, and so they are not passed over.

use serde_yaml::Value;

/// Sections of the file, the feature that each is for, and if it is in.
const SECTIONS: [(&str, &str, bool); 7] = [
    ("log", "log", cfg!(feature = "log")),
    ("trace", "trace", cfg!(feature = "trace")),
    ("metrics", "metrics", cfg!(feature = "metrics")),
    ("secrets", "secrets", cfg!(feature = "secrets")),
    ("cache", "cache", cfg!(feature = "cache")),
    ("black_box", "black-box", cfg!(feature = "black-box")),
    ("history", "history", cfg!(feature = "history")),
];

/// Variables that switch a part on, the feature that each is for, and if it is in.
const VARIABLES: [(&str, &str, bool); 4] = [
    ("OPS_BLACK_BOX", "black-box", cfg!(feature = "black-box")),
    ("OPS_HISTORY_DIR", "history", cfg!(feature = "history")),
    ("OPS_CACHE_DIR", "cache", cfg!(feature = "cache")),
    ("OPS_ADMIN_PROFILE", "profile", cfg!(feature = "profile")),
];

/// Returns the first section of the file that is for a part that is left out, and its feature.
pub(crate) fn left_out(document: &Value) -> Option<(&'static str, &'static str)> {
    let mut sections = SECTIONS.into_iter();
    sections.find_map(|(section, feature, is_in)| {
        let found = !is_in && document.get(section).is_some_and(|set| !set.is_null());
        found.then_some((section, feature))
    })
}

/// Logs variables that are for a part that is left out.
pub(crate) fn warn_of_variables() {
    for (variable, feature, is_in) in VARIABLES {
        let value = std::env::var_os(variable).unwrap_or_default();
        if !is_in && !value.is_empty() && !value.eq_ignore_ascii_case("off") {
            tracing::warn!(
                target: "ops_layer", variable, hint = missing(feature), "variable_ignored"
            );
        }
    }
}

/// Names the feature that is missing.
pub(crate) fn missing(feature: &str) -> String {
    format!("this program is built without the feature `{feature}` of ops-layer")
}
