//! From a configuration to a catalogue and the remote sources.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::SecretError;
use crate::setup::catalog::{Catalogue, MAX_CATALOGUE_BYTES};
use crate::setup::config::Config;
use crate::source::Remote;
use crate::source::aws::detection::Gate;

const USUAL_PLACE: &str = "configs/secrets.yaml";

/// The catalogue, and where it came from.
pub(crate) fn catalogue(config: &Config) -> Result<(Catalogue, String), SecretError> {
    if let Some(text) = &config.catalogue_text {
        let name = config.catalogue_name.as_deref().unwrap_or("the catalogue");
        return parse(text, name.into());
    }
    let path = config
        .catalogue
        .as_deref()
        .unwrap_or(Path::new(USUAL_PLACE));
    let origin = path.display().to_string();
    match read(path) {
        Ok(text) => parse(&text, origin),
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.catalogue.is_none() => {
            Ok((Catalogue::default(), "nowhere".into()))
        }
        Err(error) => Err(SecretError::config(format!("{origin}: {error}"))),
    }
}

fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_CATALOGUE_BYTES as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(feature = "yaml")]
fn parse(text: &str, origin: String) -> Result<(Catalogue, String), SecretError> {
    Catalogue::parse(text, &origin).map(|catalogue| (catalogue, origin))
}

#[cfg(not(feature = "yaml"))]
fn parse(_: &str, origin: String) -> Result<(Catalogue, String), SecretError> {
    Err(SecretError::config(format!(
        "{origin}: reading a catalogue needs the feature `yaml`"
    )))
}

/// The sources behind an open gate.
pub(crate) fn remote(config: &Config, gate: &Gate) -> Remote {
    let automatic = config.aws == crate::AwsMode::Auto;
    let nothing = Remote {
        ssm: None,
        secrets_manager: None,
        automatic,
    };
    if !gate.open {
        return nothing;
    }
    #[cfg(feature = "testing")]
    if let Some(sources) = &config.sources {
        use crate::SecretSource::{AwsSecretsManager, AwsSsm};
        use crate::source::Guarded;
        use std::sync::Arc;
        return Remote {
            ssm: Some(Guarded::new(AwsSsm, Arc::new(sources.ssm.clone()))),
            secrets_manager: Some(Guarded::new(
                AwsSecretsManager,
                Arc::new(sources.secrets_manager.clone()),
            )),
            automatic,
        };
    }
    #[cfg(feature = "aws")]
    return crate::source::aws::client::remote(config, gate);
    #[cfg(not(feature = "aws"))]
    {
        let _ = config;
        nothing
    }
}
