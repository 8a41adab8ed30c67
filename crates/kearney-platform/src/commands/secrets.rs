//! `kearney-platform secrets`: sources of secrets, for the runbook. Values are never shown.

use ops_layer::secrets::{ErrorKind, SecretError, Secrets};
use serde_json::json;

use crate::args;
use crate::configs::open_secrets;
use crate::error::{Error, Kind, Result};
use crate::output::{print_json, print_result};

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
                print_json(&report)?;
            } else {
                print_result(&report.to_string())?;
            }
            validated.map(drop).map_err(|error| {
                Error::new(Kind::Secret, "a required secret cannot be resolved").because(error)
            })
        }
    }
}

/// Prints `NAME: source`. If the secret is missing or cannot be resolved, prints the outcome of each source and fails.
fn source(secrets: &Secrets, name: &str, as_json: bool) -> Result<()> {
    // a binary secret has a source too
    match secrets.get(name).bytes_blocking() {
        Ok(secret) if as_json => {
            print_json(&json!({ "name": name, "source": secret.source().as_str() }))
        }
        Ok(secret) => print_result(&format!("{name}: {}\n", secret.source())),
        Err(error) if error.kind() == ErrorKind::Missing => {
            print_unresolved(name, &error, as_json)?;
            Err(Error::new(
                Kind::Secret,
                format!("{name} is not set in any source"),
            ))
        }
        Err(error) => {
            print_unresolved(name, &error, as_json)?;
            Err(Error::new(Kind::Secret, format!("{name} cannot be resolved")).because(error))
        }
    }
}

/// Prints the outcome of each source: `missing`, or `unknown` if a failure leaves open whether a source has the secret.
fn print_unresolved(name: &str, error: &SecretError, as_json: bool) -> Result<()> {
    let is_missing = error.kind() == ErrorKind::Missing;
    let source = if is_missing { "missing" } else { "unknown" };
    let tried = error.tried().iter();
    let tried = tried.map(|attempt| (attempt.source.to_string(), attempt.outcome.to_string()));
    if as_json {
        let tried = tried.map(|(source, outcome)| json!({ "source": source, "outcome": outcome }));
        let tried: Vec<_> = tried.collect();
        let mut document = json!({ "name": name, "source": source, "tried": tried });
        if !is_missing {
            document["error"] = json!({
                "kind": error.kind().as_str(),
                "message": error.to_string(),
            });
        }
        return print_json(&document);
    }
    let lines = tried.map(|(source, outcome)| format!("\n  {source}: {outcome}"));
    print_result(&format!("{name}: {source}{}\n", lines.collect::<String>()))
}
