//! The configuration in force as the admin page shows it: each setting with its origin.

use std::fmt::Debug;

use ops_admin::Setting;

use super::listen::At;
use super::server;
use super::settings::Settings;
use crate::{Error, Ops};

const CODE: &str = "code";
const DEFAULT: &str = "default";
const PASSED: &str = "environment: LISTEN_FDS";

/// Variables of the parts that are shown if they are set. None of them holds a secret; what looks like one in a URL is hidden by
/// the page.
const VARIABLES: [&str; 21] = [
    "AWS_PROFILE",
    "AWS_REGION",
    "OPS_BLACK_BOX",
    "OPS_CACHE_DIR",
    "OPS_CONFIG",
    "OPS_ENV",
    "OPS_HISTORY_DIR",
    "OPS_LOG_FORMAT",
    "OPS_LOG_LEVEL",
    "OPS_LOG_ROTATION",
    "OPS_SECRETS_AWS",
    "OPS_TRACE_EVENTS",
    "OPS_TRACE_FILTER",
    "OPS_TRACE_KEEP",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "RUST_LOG",
];

/// Settings of the server and the parts, as they were at the start.
pub(super) fn settings(ops: &Ops, settings: &Settings, api: Option<At>, admin: At) -> Vec<Setting> {
    let of_two = |in_code: bool| if in_code { CODE } else { DEFAULT };
    // the one setting that the environment decides although code sets it
    let name = match from("OTEL_SERVICE_NAME", false) {
        variable if variable != DEFAULT => variable,
        _ if is_resource(ops.service()) => "environment: OTEL_RESOURCE_ATTRIBUTES".to_owned(),
        _ => CODE.to_owned(),
    };
    let limits = &settings.limits;
    let mut all = vec![Setting::new("service name", ops.service(), name)];
    if let Some(api) = api {
        let origin = match api.passed {
            true => PASSED.to_owned(),
            false => from_two(
                ["HOST", "PORT"],
                [settings.host.is_some(), settings.port.is_some()],
            ),
        };
        all.push(Setting::new("api address", api.address.to_string(), origin));
    }
    all.extend([
        Setting::new(
            "admin address",
            admin.address.to_string(),
            match admin.passed {
                true => PASSED.to_owned(),
                false => from("OPS_ADMIN_ADDR", settings.admin.is_some()),
            },
        ),
        #[cfg(feature = "profile")]
        Setting::new(
            "cpu profiles",
            match settings.profile() {
                Ok(true) => "on",
                _ => "off",
            },
            from("OPS_ADMIN_PROFILE", settings.profile.is_some()),
        ),
        Setting::new(
            "grace period",
            shown(settings.grace()),
            from("OPS_GRACE_SECONDS", settings.grace.is_some()),
        ),
        Setting::new(
            "shutdown budget",
            shown(settings.shutdown()),
            from("OPS_SHUTDOWN_SECONDS", settings.shutdown.is_some()),
        ),
        Setting::new(
            "request timeout",
            limit(settings.timeout.as_ref()),
            of_two(settings.timeout.is_some()),
        ),
        Setting::new(
            "requests in flight, at most",
            limit(settings.max_in_flight.as_ref()),
            of_two(settings.max_in_flight.is_some()),
        ),
    ]);
    let defaults = Settings::default();
    let connections = server::max_connections(settings.max_connections);
    all.push(Setting::new(
        "connections, at most",
        connections.to_string(),
        match connections < settings.max_connections {
            true => format!("limit of open files, below {}", settings.max_connections),
            false => of_two(settings.max_connections != defaults.max_connections).to_owned(),
        },
    ));
    let fixed: [(&str, String, bool); 4] = [
        (
            "head timeout",
            format!("{:?}", limits.head),
            limits.head != defaults.limits.head,
        ),
        (
            "idle timeout",
            format!("{:?}", limits.idle),
            limits.idle != defaults.limits.idle,
        ),
        (
            "write timeout",
            format!("{:?}", limits.write),
            limits.write != defaults.limits.write,
        ),
        (
            "body timeout",
            format!("{:?}", settings.body),
            settings.body != defaults.body,
        ),
    ];
    all.extend(fixed.map(|(name, value, in_code)| Setting::new(name, value, of_two(in_code))));
    all.extend(of_cache(ops));
    all.extend(VARIABLES.iter().filter_map(|name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(Setting::new(*name, value.to_string_lossy(), "environment"))
    }));
    all
}

#[cfg(feature = "cache")]
fn of_cache(ops: &Ops) -> Vec<Setting> {
    let (file, queries) = (ops.cache_file(), &ops.cache_settings().query_cache);
    let enabled = if queries.enabled { "on" } else { "off" };
    let source = file.unwrap_or(DEFAULT);
    vec![
        Setting::new("query cache", enabled, source),
        Setting::new(
            "query cache files, at most",
            format!("{} MiB", queries.max_size_mb),
            source,
        ),
        Setting::new(
            "query cache memory, at most",
            format!("{} MiB", queries.memory_mb),
            source,
        ),
        Setting::new(
            "query cache time to live",
            format!("{} s", queries.default_ttl_seconds),
            source,
        ),
    ]
}

#[cfg(not(feature = "cache"))]
fn of_cache(_: &Ops) -> Vec<Setting> {
    Vec::new()
}

/// The attributes of the resource have a name of the service, which is this one.
fn is_resource(service: &str) -> bool {
    let attributes = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let pairs = attributes
        .split(',')
        .filter_map(|pair| pair.split_once('='));
    let mut names = pairs.filter(|(key, _)| key.trim() == "service.name");
    // what is encoded is not compared
    cfg!(feature = "trace") && names.any(|(_, name)| name.trim() == service || name.contains('%'))
}

/// The origin of a setting: code, else its variable, else the default.
fn from(variable: &str, in_code: bool) -> String {
    let is_set = || std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    if in_code {
        CODE.to_owned()
    } else if is_set() {
        format!("environment: {variable}")
    } else {
        DEFAULT.to_owned()
    }
}

/// The origin of an address whose host and port are chosen each.
fn from_two([host, port]: [&str; 2], in_code: [bool; 2]) -> String {
    let (host, port) = (from(host, in_code[0]), from(port, in_code[1]));
    if host == port {
        host
    } else {
        format!("host {host}, port {port}")
    }
}

fn shown<T: Debug>(value: Result<T, Error>) -> String {
    // a setting that is invalid ended the start
    value.map_or_else(|_| String::new(), |value| format!("{value:?}"))
}

fn limit<T: Debug>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"))
}
