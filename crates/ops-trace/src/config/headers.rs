//! Headers for the collector: `OTEL_EXPORTER_OTLP_HEADERS` and its variants.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::environment::{Environment, Warning};
use super::pairs::{Refused, pairs};
use super::signal::Signal;

/// Headers for the end, the encoding and the destination of a message, which only the exporter sets. With any other
/// value the collector would receive no batch.
const OWN: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Reads the most specific variable that is set. If headers share a name,
/// the last one wins. Invalid headers are left out, with a warning.
pub(super) fn headers(
    env: &Environment,
    signal: &Signal,
    warnings: &mut Vec<Warning>,
) -> HeaderMap {
    let Some((variable, _)) = env.first(&signal.headers) else {
        return HeaderMap::new();
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(env, variable, warnings, header) {
        headers.insert(name, value);
    }
    headers
}

fn header(name: &str, value: String) -> Result<(HeaderName, HeaderValue), Refused> {
    let Ok(name) = HeaderName::try_from(name) else {
        let reason = "the key is not a valid header name";
        return Err(Refused { name: None, reason });
    };
    let refused = |reason| Refused {
        name: Some(name.to_string()),
        reason,
    };
    if OWN.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return Err(refused("set by the exporter or the connection"));
    }
    match HeaderValue::try_from(value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok((name, value))
        }
        Err(_) => Err(refused("the value contains a control character")),
    }
}
