//! Configuration in effect, as the admin page shows it: each setting with its origin.

use std::ffi::OsString;
use std::fmt::Debug;
use std::time::Duration;

use ops_admin::Setting;

use super::listen::At;
use super::server;
use super::settings::Settings;
#[cfg(feature = "cache")]
use crate::glue::cache::Origin as CacheOrigin;
use crate::variables::OF_PARTS;
use crate::{Error, Ops};

const CODE: &str = "code";
const DEFAULT: &str = "default";
const PASSED: &str = "environment: LISTEN_FDS";

/// Variables of the parts that are shown if they are set, in addition to [`OF_PARTS`], [`PROXIES`]
/// and those of [`of_exporters`]. They contain secrets only in URLs, see [`without_secrets`].
const VARIABLES: [&str; 54] = [
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_SSM",
    "AWS_ENDPOINT_URL_STS",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_USE_FIPS_ENDPOINT",
    "BAO_ADDR",
    "BAO_CACERT",
    "BAO_NAMESPACE",
    "NO_PROXY",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_BLRP_EXPORT_TIMEOUT",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BLRP_MAX_QUEUE_SIZE",
    "OTEL_BLRP_SCHEDULE_DELAY",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_LOGS_EXPORTER",
    "OTEL_METRICS_EXEMPLAR_FILTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_METRIC_EXPORT_TIMEOUT",
    "OTEL_PROPAGATORS",
    "OTEL_SDK_DISABLED",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "RUST_LOG",
    "SSL_CERT_FILE",
    "VAULT_ADDR",
    "VAULT_CACERT",
    "VAULT_NAMESPACE",
    "no_proxy",
];

/// Variables that clients of several parts read, each on its own.
const SHARED: [&str; 6] = [
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "no_proxy",
];

/// Variables of proxies. Each client decides which of them applies.
const PROXIES: [&str; 6] = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
];

/// Returns the variables of the exporters, for all signals and for each
/// of them. Headers and keys are excluded, because they are secret.
fn of_exporters() -> impl Iterator<Item = String> {
    let settings = [
        "CERTIFICATE",
        "CLIENT_CERTIFICATE",
        "COMPRESSION",
        "ENDPOINT",
        "PROTOCOL",
        "TIMEOUT",
    ];
    ["", "LOGS_", "METRICS_", "TRACES_"]
        .into_iter()
        .flat_map(move |signal| settings.map(|of| format!("OTEL_EXPORTER_OTLP_{signal}{of}")))
}

/// Removes user, password, query and fragment of a URL. The URL of a proxy may have no scheme.
fn without_secrets(name: &str, value: &str) -> String {
    let may_be_url = name.contains("ENDPOINT") || PROXIES.contains(&name);
    if !may_be_url && !value.contains("://") {
        return value.to_owned();
    }
    let (url, hidden) = match value.find(['?', '#']) {
        Some(at) => (&value[..at], "?[REDACTED]"),
        None => (value, ""),
    };
    // a password may contain `?` or `#`
    if value[url.len()..].contains('@') {
        let scheme = value.find("://").map_or("", |at| &value[..at + 3]);
        return format!("{scheme}[REDACTED]");
    }
    let url = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://[REDACTED]@{host}"),
        (None, Some((_, host))) => format!("[REDACTED]@{host}"),
        _ => url.to_owned(),
    };
    url + hidden
}

/// Returns the settings of the server and the parts, as they were at the start.
pub(super) fn settings(ops: &Ops, settings: &Settings, api: Option<At>, admin: At) -> Vec<Setting> {
    let mut all = vec![service_name(ops)];
    all.extend(api.map(|api| api_address(settings, api)));
    all.push(admin_address(settings, admin));
    all.extend(of_server(settings));
    all.extend(of_cache(ops));
    let known = VARIABLES.into_iter().chain(OF_PARTS);
    let mut variables: Vec<String> = known.map(str::to_owned).collect();
    variables.extend(of_exporters());
    variables.extend(PROXIES.map(str::to_owned));
    variables.sort_unstable();
    all.extend(variables.into_iter().filter_map(|name| {
        let value = set(&name)?;
        // other clients read these too, and use them unchanged
        let is_shared = SHARED.contains(&name.as_str()) || PROXIES.contains(&name.as_str());
        let (overruled, unusable) = match is_shared {
            true => (None, None),
            false => (ops.effective_value(&name), ops.used_instead(&name)),
        };
        let (value, source) = match (overruled, unusable) {
            (Some(used), _) => (used.into(), "environment, overridden by code"),
            (None, Some(used)) => (used.into(), "environment, invalid"),
            (None, None) => (value.to_string_lossy(), "environment"),
        };
        let shown = without_secrets(&name, &value);
        Some(Setting::new(name, shown, source))
    }));
    all
}

fn service_name(ops: &Ops) -> Setting {
    // the only setting in which the environment overrides code
    let origin = match from("OTEL_SERVICE_NAME", false) {
        variable if variable != DEFAULT => variable,
        _ if is_resource(ops.service()) => "environment: OTEL_RESOURCE_ATTRIBUTES".to_owned(),
        _ => CODE.to_owned(),
    };
    Setting::new("service name", ops.service(), origin)
}

fn api_address(settings: &Settings, api: At) -> Setting {
    let in_code = [settings.host.is_some(), settings.port.is_some()];
    let origin = match api.passed {
        true => PASSED.to_owned(),
        false => from_two(["HOST", "PORT"], in_code),
    };
    Setting::new("api address", api.address.to_string(), origin)
}

fn admin_address(settings: &Settings, admin: At) -> Setting {
    let origin = match admin.passed {
        true => PASSED.to_owned(),
        false => from("OPS_ADMIN_ADDR", settings.admin.is_some()),
    };
    Setting::new("admin address", admin.address.to_string(), origin)
}

/// Returns times and limits.
fn of_server(settings: &Settings) -> Vec<Setting> {
    let of_two = |in_code: bool| if in_code { CODE } else { DEFAULT };
    let (limits, defaults) = (&settings.limits, Settings::default());
    let mut all = vec![
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
            "max requests in flight",
            limit(settings.max_in_flight.as_ref()),
            of_two(settings.max_in_flight.is_some()),
        ),
    ];
    let connections = server::max_connections(settings.max_connections);
    all.push(Setting::new(
        "max connections",
        connections.to_string(),
        match connections < settings.max_connections {
            true => format!("open file limit, below {}", settings.max_connections),
            false => of_two(settings.max_connections != defaults.max_connections).to_owned(),
        },
    ));
    let timeouts = [
        ("head timeout", limits.head, defaults.limits.head),
        ("idle timeout", limits.idle, defaults.limits.idle),
        ("write timeout", limits.write, defaults.limits.write),
        ("body timeout", settings.body, defaults.body),
    ];
    all.extend(timeouts.map(|(name, time, default)| {
        Setting::new(name, format!("{time:?}"), of_two(time != default))
    }));
    all
}

#[cfg(feature = "cache")]
fn of_cache(ops: &Ops) -> Vec<Setting> {
    let queries = &ops.cache_settings().query_cache;
    let enabled = if queries.enabled { "on" } else { "off" };
    let source = match ops.cache_origin() {
        CacheOrigin::Code => CODE,
        CacheOrigin::File(name) => name,
        CacheOrigin::Default => DEFAULT,
    };
    vec![
        Setting::new("query cache", enabled, source),
        Setting::new(
            "query cache file limit",
            format!("{} MiB", queries.max_size_mb),
            source,
        ),
        Setting::new(
            "query cache memory limit",
            format!("{} MiB", queries.memory_mb),
            source,
        ),
        Setting::new(
            "query cache TTL",
            format!("{} s", queries.default_ttl_seconds),
            source,
        ),
    ]
}

#[cfg(not(feature = "cache"))]
fn of_cache(_: &Ops) -> Vec<Setting> {
    Vec::new()
}

/// Returns whether the attributes of the resource contain this service name.
fn is_resource(service: &str) -> bool {
    let attributes = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let pairs = attributes
        .split(',')
        .filter_map(|pair| pair.split_once('='));
    let mut names = pairs.filter(|(key, _)| key.trim() == "service.name");
    // encoded names are not compared
    cfg!(feature = "trace") && names.any(|(_, name)| name.trim() == service || name.contains('%'))
}

/// Returns the value of a variable; an empty one counts as unset.
fn set(variable: &str) -> Option<OsString> {
    // white space alone counts as unset, too
    std::env::var_os(variable).filter(|value| !value.to_string_lossy().trim().is_empty())
}

/// Returns the origin of a setting: code, otherwise its variable, otherwise the default.
fn from(variable: &str, in_code: bool) -> String {
    if in_code {
        CODE.to_owned()
    } else if set(variable).is_some() {
        format!("environment: {variable}")
    } else {
        DEFAULT.to_owned()
    }
}

/// Returns the origin of an address whose host and port are set separately.
fn from_two([host, port]: [&str; 2], in_code: [bool; 2]) -> String {
    let (host, port) = (from(host, in_code[0]), from(port, in_code[1]));
    if host == port {
        host
    } else {
        format!("host {host}, port {port}")
    }
}

fn shown(value: Result<Duration, Error>) -> String {
    match value {
        Ok(Duration::ZERO) => "0s".to_owned(),
        Ok(value) => format!("{value:?}"),
        // an invalid setting has already ended the start
        Err(_) => String::new(),
    }
}

fn limit<T: Debug>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"))
}
