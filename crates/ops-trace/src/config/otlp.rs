use std::time::Duration;

use http::HeaderMap;

use super::environment::{ENDPOINT, Environment, Warning, clamped_time, overridden_by, warn};
use super::headers::headers;
use super::signal::Signal;
use super::tls::Tls;
use super::{EXPORT_TIMEOUT, endpoint};
use crate::{Config, Error};

/// Key of the export timeout in a configuration file.
const SETTING: &str = "export_timeout_ms";
/// Limits of the export timeout in milliseconds.
const TIMEOUT_MS: (u64, u64) = (10, 60_000);
/// "No limit", as a duration that can still be added to an instant.
const NO_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Settings of the connection to the collector.
pub(crate) struct Otlp {
    pub(crate) url: String,
    /// True if nobody set the endpoint.
    pub(crate) is_default: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) gzip: bool,
    pub(crate) timeout: Duration,
    pub(crate) tls: Tls,
}

/// Reads the settings of the OTLP exporter.
pub(crate) fn otlp(
    config: &Config,
    signal: &Signal,
    warnings: &mut Vec<Warning>,
) -> Result<Otlp, Error> {
    let env = &config.environment;
    let (url, is_default) = url(config, signal, warnings)?;
    Ok(Otlp {
        headers: headers(env, signal, warnings),
        gzip: gzip(env, signal, warnings),
        timeout: timeout(config, signal, warnings),
        tls: Tls::read(env, signal, &url, warnings),
        url,
        is_default,
    })
}

/// Returns the endpoint, and true if it is the default. By the specification, the variable of the signal is used
/// unchanged, and the path of the signal is appended to the general variable.
pub(super) fn url(
    config: &Config,
    signal: &Signal,
    warnings: &mut Vec<Warning>,
) -> Result<(String, bool), Error> {
    let env = &config.environment;
    let given = |endpoint: &'_ Option<String>| {
        let endpoint = endpoint.as_deref().map(str::trim);
        endpoint.filter(|e| !e.is_empty()).map(str::to_owned)
    };
    let in_program = "endpoint";
    let mut is_default = false;
    let (from, url) = match given(&config.endpoint) {
        Some(endpoint) => (in_program, endpoint::with_path(&endpoint, signal.path)?),
        None => match (env.get(signal.endpoint), env.get(ENDPOINT)) {
            (Some(endpoint), _) => {
                let url = endpoint::unchanged(&endpoint);
                let url = url.map_err(|error| error.with_variable(signal.endpoint))?;
                (signal.endpoint, url)
            }
            (None, Some(endpoint)) => {
                let url = endpoint::with_path(&endpoint, signal.path);
                (
                    ENDPOINT,
                    url.map_err(|error| error.with_variable(ENDPOINT))?,
                )
            }
            (None, None) => {
                let below = given(&config.below_env.endpoint);
                is_default = below.is_none();
                let below = below.as_deref().unwrap_or(endpoint::DEFAULT);
                (in_program, endpoint::with_path(below, signal.path)?)
            }
        },
    };
    if endpoint::is_grpc_port(&url) {
        let accepted = "the HTTP port, 4318 by default; 4317 is the port for gRPC";
        warn(warnings, from, url.clone(), accepted, &url);
    }
    Ok((url, is_default))
}

fn gzip(env: &Environment, signal: &Signal, warnings: &mut Vec<Warning>) -> bool {
    if let Some((name, value)) = env.name(&signal.protocol)
        && value != "http/protobuf"
    {
        warn(warnings, name, value, "http/protobuf", "http/protobuf");
    }
    let (mut is_gzip, mut refused) = (false, Vec::new());
    for variable in signal.compression {
        match env.name(&[variable]) {
            Some((_, value)) if value == "gzip" && cfg!(feature = "gzip") => is_gzip = true,
            Some((_, value)) if value == "none" => {}
            // ignored, as if it were unset
            Some(other) => {
                refused.push(other);
                continue;
            }
            None => continue,
        }
        break;
    }
    let accepted = if cfg!(feature = "gzip") {
        "gzip, none"
    } else {
        "none, or gzip with the feature `gzip`"
    };
    for (name, value) in refused {
        let used = if is_gzip { "gzip" } else { "none" };
        warn(warnings, name, value, accepted, used);
    }
    is_gzip
}

/// Returns the export timeout; 0 means no limit, as for every timeout of OpenTelemetry.
pub(super) fn timeout(config: &Config, signal: &Signal, warnings: &mut Vec<Warning>) -> Duration {
    let env = &config.environment;
    let range = (
        Duration::from_millis(TIMEOUT_MS.0),
        Duration::from_millis(TIMEOUT_MS.1),
    );
    let is_zero = |name: &&str| env.get(name).is_some_and(|value| value.parse() == Ok(0));
    let zero = signal.timeout.iter().position(is_zero);
    match (config.export_timeout, zero) {
        (Some(timeout), _) => clamped_time(SETTING, timeout, range, warnings),
        (None, Some(at)) => match env.number(&signal.timeout[..at], TIMEOUT_MS, 0, warnings) {
            0 => NO_TIMEOUT,
            millis => Duration::from_millis(millis),
        },
        (None, None) => {
            let below = config.below_env.export_timeout.unwrap_or(EXPORT_TIMEOUT);
            overridden_by(
                env,
                &signal.timeout,
                |warnings| clamped_time(SETTING, below, range, warnings),
                |below, warnings| env.millis(&signal.timeout, TIMEOUT_MS, below, warnings),
                warnings,
            )
        }
    }
}
