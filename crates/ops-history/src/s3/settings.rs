//! Settings of the client: those of a prefix, then the AWS variables, checked before they are used.

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::prefix::{Prefix, without_secrets};

/// Variables that configure credentials. If none is set, the role of the machine is used.
const CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// Settings sent in request headers; the client panics if they are not valid there.
const HEADER_SETTINGS: [(AmazonS3ConfigKey, &str); 3] = [
    (AmazonS3ConfigKey::AccessKeyId, "access key id"),
    (AmazonS3ConfigKey::Token, "session token"),
    (AmazonS3ConfigKey::Region, "region"),
];

/// Returns the client of the prefix's bucket, or what is wrong with its settings.
pub(super) fn client(prefix: &Prefix) -> Result<AmazonS3Builder, String> {
    let own_id = prefix.credentials.as_ref().map(|(id, _)| id.as_str());
    let mut client = settings_from_env(own_id).with_bucket_name(&prefix.bucket);
    if let Some(endpoint) = &prefix.endpoint {
        // wins over both variables
        client = client.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    if let Some(region) = &prefix.region {
        client = client.with_region(region);
    }
    if let Some((id, secret)) = &prefix.credentials {
        client = client.with_access_key_id(id).with_secret_access_key(secret);
    }
    check_headers(&client)?;
    let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let endpoint = endpoints
        .iter()
        .find_map(|key| client.get_config_value(key));
    match &endpoint {
        Some(endpoint) => {
            check_endpoint(endpoint, &client)?;
            client = client.with_allow_http(endpoint.starts_with("http://"));
        }
        None => check_region(&client)?,
    }
    Ok(client)
}

fn check_endpoint(endpoint: &str, client: &AmazonS3Builder) -> Result<(), String> {
    let shown = without_secrets(endpoint);
    if !is_url(endpoint) {
        return Err(format!(
            "endpoint {shown:?} is not a valid server URL; expected http://HOST:PORT or https://HOST, in the configuration or in \
             AWS_ENDPOINT_URL"
        ));
    }
    if names_user(endpoint) && !is_unsigned(client) {
        return Err(format!(
            "endpoint {shown:?} contains a user, which signed requests do not support; set credentials separately or in AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY"
        ));
    }
    Ok(())
}

/// Checks the region, which is part of the host name if there is no endpoint.
fn check_region(client: &AmazonS3Builder) -> Result<(), String> {
    match client.get_config_value(&AmazonS3ConfigKey::Region) {
        Some(region) if !is_url(&format!("https://s3.{region}.amazonaws.com")) => Err(format!(
            "the region {region:?} is not valid in an AWS host name"
        )),
        _ => Ok(()),
    }
}

fn check_headers(client: &AmazonS3Builder) -> Result<(), String> {
    for (key, name) in &HEADER_SETTINGS {
        let value = client.get_config_value(key).unwrap_or_default();
        if value.contains(char::is_control) {
            return Err(format!(
                "the {name} contains a line break or another control character"
            ));
        }
    }
    Ok(())
}

/// Returns `true` if the prefix or a variable has credentials.
pub(super) fn has_credentials(prefix: &Prefix) -> bool {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    prefix.credentials.is_some() || CREDENTIALS.iter().any(is_set)
}

/// Reads the settings from the AWS variables. An empty one counts as unset, and a session token applies only to the
/// credentials it belongs to.
fn settings_from_env(own_id: Option<&str>) -> AmazonS3Builder {
    let id = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
    let has_other_id = own_id.is_some_and(|own| own != id.trim_end());
    let settings = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        // values read from files end with a line break
        let value = value.trim_end().to_owned();
        let key = name.starts_with("AWS_").then(|| name.to_ascii_lowercase());
        let key: AmazonS3ConfigKey = key?.parse().ok()?;
        let is_foreign_token = has_other_id && key == AmazonS3ConfigKey::Token;
        (!value.is_empty() && !is_foreign_token).then_some((key, value))
    });
    settings.fold(AmazonS3Builder::new(), |builder, (key, value)| {
        builder.with_config(key, value)
    })
}

/// Returns `true` for a URL that requests can be sent to; the client panics on others.
fn is_url(endpoint: &str) -> bool {
    // both parsers have to accept it
    let parsed = endpoint.parse::<http::Uri>();
    let is_http = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    parsed.is_ok_and(|uri| is_http(&uri))
        && url::Url::parse(endpoint).is_ok()
        && !endpoint.contains(['?', '#'])
}

fn names_user(endpoint: &str) -> bool {
    let parsed = endpoint.parse::<http::Uri>();
    parsed.is_ok_and(|uri| uri.authority().is_some_and(|at| at.as_str().contains('@')))
}

/// Returns `true` if `AWS_SKIP_SIGNATURE` is enabled (`1`, `true`, `on`, `yes` or `y`): then the user in the endpoint
/// is sent, for a proxy in front of the bucket.
fn is_unsigned(builder: &AmazonS3Builder) -> bool {
    let skips = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature);
    let skips = skips.unwrap_or_default().to_ascii_lowercase();
    matches!(&*skips, "1" | "true" | "on" | "yes" | "y")
}
