use std::collections::BTreeMap;

use super::detect;
use super::environment::{Environment, Warning};
use super::pairs::{Refused, decoded, pairs};
use crate::{Config, Error};

const SERVICE_NAME: &str = "service.name";

/// Resource attributes of everything this process sends, with the service's name under `service.name`.
pub(crate) struct ServiceResource {
    pub(crate) service_name: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// Merges attributes in ascending precedence: detected ones, those
/// of a file, those of the environment, those of the program.
///
/// The service's name is the one exception: `OTEL_SERVICE_NAME`, then `service.name` in `OTEL_RESOURCE_ATTRIBUTES`,
/// then the program's, because operators expect to rename what they run.
pub(crate) fn resource(
    config: &Config,
    warnings: &mut Vec<Warning>,
) -> Result<ServiceResource, Error> {
    let env = &config.environment;
    let mut attributes = detect::detected(env, &config.files_below, warnings);
    let below = &config.below_env;
    let version = |version: &Option<String>| {
        let version = version.clone()?;
        Some(("service.version".to_owned(), version))
    };
    attributes.extend(version(&below.service_version));
    attributes.extend(below.resource.clone());
    let of_environment = of_environment(env, warnings);
    let named = of_environment.get(SERVICE_NAME).cloned();
    attributes.extend(of_environment);
    let given = |name: &str| Some(name.trim().to_owned()).filter(|name| !name.is_empty());
    let service_name = env
        .text("OTEL_SERVICE_NAME", warnings)
        .or_else(|| named.and_then(|name| given(&name)))
        .or_else(|| {
            let own = [&config.resource, &below.resource].into_iter();
            let mut own = own.filter_map(|resource| resource.get(SERVICE_NAME));
            own.find_map(|name| given(name))
        })
        .or_else(|| given(&config.service_name))
        .ok_or(Error::EmptyServiceName)?;
    attributes.extend(version(&config.service_version));
    let own = config.resource.iter();
    attributes.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    attributes.insert(SERVICE_NAME.to_owned(), service_name.clone());
    Ok(ServiceResource {
        service_name,
        attributes,
    })
}

/// Reads `OTEL_RESOURCE_ATTRIBUTES`, in which both keys and values are percent-encoded.
fn of_environment(env: &Environment, warnings: &mut Vec<Warning>) -> BTreeMap<String, String> {
    let read = |key: &str, value| match decoded(key) {
        Some(key) => Ok((key, value)),
        None => Err(Refused {
            name: None,
            reason: "the key is not UTF-8",
        }),
    };
    pairs(env, "OTEL_RESOURCE_ATTRIBUTES", warnings, read)
        .into_iter()
        .collect()
}
