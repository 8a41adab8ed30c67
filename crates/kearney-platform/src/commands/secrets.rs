//! `kearney-platform secrets`: where secrets come from, for the runbook. Values are never shown.

use ops_layer::secrets::{ErrorKind, SecretError, Secrets};
use serde_json::json;

use crate::args;
use crate::configs::open_secrets;
use crate::error::{Error, Kind, Result};
use crate::output::{answer, answer_json};

pub fn run(command: args::Secrets) -> Result<()> {
    match command {
        args::Secrets::Source {
            name,
            json,
            config_dir,
        } => source(&open_secrets(config_dir.as_deref())?, &name, json),
        args::Secrets::Report { json, config_dir } => {
            let secrets = open_secrets(config_dir.as_deref())?;
            let validated = secrets.validate_blocking();
            let report = secrets.report();
            if json {
                answer_json(&report)?;
            } else {
                answer(&report.to_string())?;
            }
            validated.map(drop).map_err(|error| {
                Error::new(Kind::Secret, "a required secret cannot be resolved").because(error)
            })
        }
    }
}

/// Prints `NAME: source`. For a secret that is missing it prints what each source said, and fails.
fn source(secrets: &Secrets, name: &str, as_json: bool) -> Result<()> {
    match secrets.get(name).blocking() {
        Ok(secret) if as_json => {
            answer_json(&json!({ "name": name, "source": secret.source().as_str() }))
        }
        Ok(secret) => answer(&format!("{name}: {}\n", secret.source())),
        Err(error) if error.kind() == ErrorKind::Missing => {
            missing(name, &error, as_json)?;
            Err(Error::new(Kind::Secret, format!("no source has {name}")))
        }
        Err(error) => {
            Err(Error::new(Kind::Secret, format!("{name} cannot be resolved")).because(error))
        }
    }
}

fn missing(name: &str, error: &SecretError, as_json: bool) -> Result<()> {
    let tried = error.tried().iter();
    let tried = tried.map(|attempt| (attempt.source.to_string(), attempt.outcome.to_string()));
    if as_json {
        let tried = tried.map(|(source, outcome)| json!({ "source": source, "outcome": outcome }));
        let tried: Vec<_> = tried.collect();
        return answer_json(&json!({ "name": name, "source": "missing", "tried": tried }));
    }
    let lines = tried.map(|(source, outcome)| format!("\n  {source}: {outcome}"));
    answer(&format!("{name}: missing{}\n", lines.collect::<String>()))
}
