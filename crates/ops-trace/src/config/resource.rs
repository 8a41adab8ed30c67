use std::collections::BTreeMap;

use super::detect;
use super::environment::{Environment, Warning};
use super::pairs::{Refused, decoded, pairs};
use crate::{Config, Error};

const SERVICE_NAME: &str = "service.name";

/// Attributes of everything that this process sends, with the service's name under `service.name`.
pub(crate) struct ServiceResource {
    pub(crate) service_name: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// Merges what was detected, the attributes of the environment, which win over that, and those of the program, which win over
/// both.
///
/// The name is the one exception: `OTEL_SERVICE_NAME`, then `service.name` in `OTEL_RESOURCE_ATTRIBUTES`, then the
/// program's, because operators expect to rename what they run.
pub(crate) fn resource(
    config: &Config,
    warnings: &mut Vec<Warning>,
) -> Result<ServiceResource, Error> {
    let env = &config.environment;
    let mut attributes = detect::detected(env, &config.files_below, warnings);
    attributes.extend(of_environment(env, warnings));
    let given = |name: &str| Some(name.trim().to_owned()).filter(|name| !name.is_empty());
    let service_name = env
        .text("OTEL_SERVICE_NAME", warnings)
        .or_else(|| attributes.get(SERVICE_NAME).and_then(|name| given(name)))
        .or_else(|| {
            config
                .resource
                .get(SERVICE_NAME)
                .and_then(|name| given(name))
        })
        .or_else(|| given(&config.service_name))
        .ok_or(Error::EmptyServiceName)?;
    if let Some(version) = &config.service_version {
        attributes.insert("service.version".to_owned(), version.clone());
    }
    let own = config.resource.iter();
    attributes.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    attributes.insert(SERVICE_NAME.to_owned(), service_name.clone());
    Ok(ServiceResource {
        service_name,
        attributes,
    })
}

/// In `OTEL_RESOURCE_ATTRIBUTES` both keys and values are percent-encoded.
fn of_environment(env: &Environment, warnings: &mut Vec<Warning>) -> BTreeMap<String, String> {
    let read = |key: &str, value| match decoded(key) {
        Some(key) => Ok((key, value)),
        None => Err(Refused {
            name: None,
            reason: "its key is not UTF-8",
        }),
    };
    pairs(env, "OTEL_RESOURCE_ATTRIBUTES", warnings, read)
        .into_iter()
        .collect()
}
