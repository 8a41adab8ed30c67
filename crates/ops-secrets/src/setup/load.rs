//! Catalog and remote sources of a configuration.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::SecretError;
use crate::setup::catalog::{Catalog, MAX_CATALOG_BYTES};
use crate::setup::config::Config;
#[cfg(any(feature = "aws", feature = "aws-agent"))]
use crate::source::aws;
use crate::source::aws::detection::{AwsDetection, AwsMode};
use crate::source::chain::SourceChain;

const USUAL_PLACE: &str = "configs/secrets.yaml";

/// Returns the catalog and its origin.
pub(crate) fn catalog(config: &Config) -> Result<(Catalog, String), SecretError> {
    if let Some(text) = &config.catalog_text {
        let name = config.catalog_name.as_deref().unwrap_or("the catalog");
        return parse(text, name.into());
    }
    let path = config.catalog.as_deref().unwrap_or(Path::new(USUAL_PLACE));
    let origin = path.display().to_string();
    match read(path) {
        Ok(text) => parse(&text, origin),
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.catalog.is_none() => {
            Ok((Catalog::default(), "none".into()))
        }
        Err(error) => Err(SecretError::config(format!(
            "cannot read the catalog {origin}: {error}"
        ))),
    }
}

fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_CATALOG_BYTES as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(feature = "yaml")]
fn parse(text: &str, origin: String) -> Result<(Catalog, String), SecretError> {
    Catalog::parse(text, &origin).map(|catalog| (catalog, origin))
}

#[cfg(not(feature = "yaml"))]
fn parse(_: &str, origin: String) -> Result<(Catalog, String), SecretError> {
    Err(SecretError::config(format!(
        "{origin}: reading a catalog requires the feature `yaml`"
    )))
}

/// Returns the remote sources: AWS if it is to be queried, then the added ones.
pub(crate) fn sources(config: &Config, aws: &AwsDetection) -> SourceChain {
    let mut chain = SourceChain::new(config.aws == AwsMode::Auto && config.aws_agent.is_none());
    if aws.open {
        match &config.aws_replacements {
            Some([ssm, secrets_manager]) => {
                chain.add_ssm(Arc::clone(ssm));
                chain.add_secrets_manager(Arc::clone(secrets_manager));
            }
            None => match &config.aws_agent {
                Some(address) => add_agent(&mut chain, address, config),
                None => add_aws(&mut chain, config, aws),
            },
        }
    }
    for (name, source) in &config.sources {
        chain.add_custom(name, Arc::clone(source));
    }
    chain
}

#[cfg(feature = "aws-agent")]
fn add_agent(chain: &mut SourceChain, address: &str, config: &Config) {
    aws::agent::add_to(chain, address, &config.environment);
}

/// Never called: without the feature, an agent in the configuration is refused.
#[cfg(not(feature = "aws-agent"))]
fn add_agent(_: &mut SourceChain, _: &str, _: &Config) {}

#[cfg(feature = "aws")]
fn add_aws(chain: &mut SourceChain, config: &Config, detected: &AwsDetection) {
    let settings = aws::settings::AwsSettings {
        region: config.region.clone(),
        endpoint_url: config.endpoint_url.clone(),
        metadata_endpoint: config.metadata_endpoint.clone(),
        environment: config.environment.clone(),
        deadline: config.deadline_duration(),
        automatic: config.aws == AwsMode::Auto,
        ec2: detected.ec2,
    };
    aws::add_to(chain, settings);
}

#[cfg(not(feature = "aws"))]
fn add_aws(_: &mut SourceChain, _: &Config, _: &AwsDetection) {}
