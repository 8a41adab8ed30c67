//! Start of a service: read the catalog, look up everything in bulk, stop with one message if a required secret
//! is missing, and show the source of each. Needs no set-up; with AWS credentials it queries AWS:
//! `cargo run -p ops-secrets --example at_start`, from the top of the repository for its `configs/secrets.yaml`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::process::ExitCode;

use ops_secrets::{Config, Secrets};

fn main() -> ExitCode {
    let secrets = match Config::from_env().and_then(Secrets::new) {
        Ok(secrets) => secrets,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    // a log library is notified of every value that it has to redact
    secrets.on_resolved(|resolved| {
        println!(
            "to be redacted from now on: {} ({})",
            resolved.name, resolved.source
        );
    });
    match secrets.validate_blocking() {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            print!("{}", secrets.report());
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
