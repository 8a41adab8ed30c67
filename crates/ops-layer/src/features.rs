//! Settings of parts that are compiled out: they have no effect, so they are reported instead of ignored.

use serde_yaml::Value;

/// Sections of the file, each with its feature and whether that is enabled.
const SECTIONS: [(&str, &str, bool); 7] = [
    ("log", "log", cfg!(feature = "log")),
    ("trace", "trace", cfg!(feature = "trace")),
    ("metrics", "metrics", cfg!(feature = "metrics")),
    ("secrets", "secrets", cfg!(feature = "secrets")),
    ("cache", "cache", cfg!(feature = "cache")),
    ("black_box", "black-box", cfg!(feature = "black-box")),
    ("history", "history", cfg!(feature = "history")),
];

/// Variables that switch a part on, each with its feature and whether that is enabled.
const VARIABLES: [(&str, &str, bool); 4] = [
    ("OPS_BLACK_BOX", "black-box", cfg!(feature = "black-box")),
    ("OPS_HISTORY_DIR", "history", cfg!(feature = "history")),
    ("OPS_CACHE_DIR", "cache", cfg!(feature = "cache")),
    ("OPS_ADMIN_PROFILE", "profile", cfg!(feature = "profile")),
];

/// Returns the first section of the file for a part that is compiled out, with its feature.
pub(crate) fn compiled_out(document: &Value) -> Option<(&'static str, &'static str)> {
    let mut sections = SECTIONS.into_iter();
    sections.find_map(|(section, feature, is_in)| {
        let found = !is_in && document.get(section).is_some_and(|set| !set.is_null());
        found.then_some((section, feature))
    })
}

/// Logs variables for parts that are compiled out.
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

/// Returns a message that names the missing feature.
pub(crate) fn missing(feature: &str) -> String {
    format!("this program is built without the feature `{feature}` of ops-layer")
}
