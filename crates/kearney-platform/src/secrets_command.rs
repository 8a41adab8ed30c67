//! `kearney-platform secrets`: where secrets come from, for the runbook. Values are never shown.

use std::path::Path;

use ops_layer::secrets::{Config, ErrorKind, Secrets};

use crate::answer;
use crate::args;
use crate::configs::Configs;

pub fn run(command: args::Secrets) -> Result<(), String> {
    match command {
        args::Secrets::Source { name, config_dir } => {
            let secrets = open(config_dir.as_deref())?;
            answer(&format!("{}\n", source(&secrets, &name)?))?;
        }
        args::Secrets::Report { json, config_dir } => {
            let secrets = open(config_dir.as_deref())?;
            let validated = secrets.validate_blocking();
            let report = secrets.report();
            if json {
                let text = serde_json::to_string_pretty(&report);
                answer(&format!("{}\n", text.map_err(|error| error.to_string())?))?;
            } else {
                answer(&report.to_string())?;
            }
            validated.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// `NAME: source`, and for a secret that is missing what each source said.
fn source(secrets: &Secrets, name: &str) -> Result<String, String> {
    match secrets.get(name).blocking() {
        Ok(secret) => Ok(format!("{name}: {}", secret.source())),
        Err(error) if error.kind() == ErrorKind::Missing => {
            let tried = error.tried().iter();
            let lines = tried.map(|attempt| format!("\n  {}: {}", attempt.source, attempt.outcome));
            Ok(format!("{name}: missing{}", lines.collect::<String>()))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn open(config_dir: Option<&Path>) -> Result<Secrets, String> {
    let configs = Configs::read(config_dir)?;
    let name = configs.secrets.to_string();
    Config::from_env()
        .map(|config| config.catalog_text(configs.secrets.text))
        .and_then(|config| Secrets::new(config.catalog_name(name)))
        .map_err(|error| error.to_string())
}
