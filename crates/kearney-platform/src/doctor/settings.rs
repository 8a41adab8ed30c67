//! Configuration with the source of each setting, as seen by this command.

use std::fmt::Write;

use super::options::Doctor;
use crate::configs::Configs;

/// Variables whose values are not secret. For other variables of the platform only the name is shown.
const PUBLIC_VARIABLES: [&str; 27] = [
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_REGION",
    "HOST",
    "KEARNEY_ADMIN_PORT",
    "KEARNEY_CONFIG_DIR",
    "KEARNEY_DATASETS",
    "KEARNEY_DATA_DIR",
    "KEARNEY_LOG_FILE",
    "KEARNEY_MAPBOX_URL",
    "NO_COLOR",
    "OPS_ADMIN_ADDR",
    "OPS_ENV",
    "OPS_GRACE_SECONDS",
    "OPS_LOG_FORMAT",
    "OPS_LOG_LEVEL",
    "OPS_LOG_ROTATION",
    "OPS_SECRETS_AWS",
    "OPS_SHUTDOWN_SECONDS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "PORT",
    "RUST_LOG",
];

const PREFIXES: [&str; 6] = ["AWS_", "KEARNEY_", "OPS_", "OTEL_", "MAPBOX_", "REGISTRY_"];

pub(super) fn text(options: &Doctor) -> String {
    let mut text =
        String::from("# The configuration as this command sees it: setting, value, source\n");
    let mut row = |name: &str, value: &str, source: &str| {
        // writing to a string does not fail
        let _ = writeln!(text, "{name}\t{value}\t{source}");
    };
    let dir = options.data_dir().display().to_string();
    row("data_dir", &dir, source("KEARNEY_DATA_DIR"));
    let log = options.log_file.path();
    let log = log.map_or("none".to_owned(), |path| path.display().to_string());
    row("log_file", &log, source("KEARNEY_LOG_FILE"));
    match Configs::read(options.config_dir.as_deref()) {
        Ok(configs) => {
            row(
                "secrets.yaml",
                &configs.secrets.to_string(),
                source("KEARNEY_CONFIG_DIR"),
            );
            row(
                "cache.yaml",
                &configs.cache.to_string(),
                source("KEARNEY_CONFIG_DIR"),
            );
        }
        Err(why) => row(
            "configuration files",
            &crate::error::chain(&why),
            "not readable",
        ),
    }
    let mut variables: Vec<_> = std::env::vars_os().collect();
    variables.sort();
    for (name, value) in variables {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if PUBLIC_VARIABLES.contains(&&*name) {
            row(&name, &value, "environment");
        } else if PREFIXES.iter().any(|start| name.starts_with(start)) {
            row(&name, "(set, not shown)", "environment");
        }
    }
    text
}

fn source(variable: &str) -> &'static str {
    match std::env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(_) => "environment or command line",
        None => "default or command line",
    }
}
