//! Asks every source for every secret of the catalog. Values are registered for redaction, and never shown.

use ops_layer::secrets::Report;

use super::answers::Answers;
use super::found::{Found, Severity};
use super::options::Doctor;
use crate::configs::open_secrets;
use crate::error::chain;

pub(super) fn ask(options: &Doctor) -> Answers {
    let mut answers = Answers::default();
    let secrets = match open_secrets(options.config_dir.as_deref()) {
        Ok(secrets) => secrets,
        Err(error) => {
            let why = chain(&error);
            answers.note("secrets", "the configuration", why.clone());
            answers.find([Found::new("settings_invalid", Severity::Critical)
                .seen(why)
                .means("The platform does not start with this configuration.")
                .action("Correct the file or the variable.")]);
            return answers;
        }
    };
    secrets.on_resolved_batch(|batch| {
        for resolved in batch {
            ops_layer::log::redact(resolved.secret.expose());
        }
    });
    // what failed is in the report, secret by secret
    let failed = secrets.validate_blocking().err();
    let report = secrets.report();
    let answer = match &failed {
        Some(error) => error.to_string(),
        None => format!(
            "all required secrets are there ({} requests to AWS)",
            report.aws_requests
        ),
    };
    answers.note("secrets", asked(&report), answer);
    let findings = ops_layer::diagnose_secrets(&secrets);
    answers.find(findings.into_iter().map(Found::from));
    answers
}

fn asked(report: &Report) -> String {
    let names: Vec<_> = report
        .secrets
        .iter()
        .map(|secret| secret.name.as_str())
        .collect();
    format!(
        "{} in environment, files, AWS ({}) and {}",
        names.join(", "),
        report.aws,
        report.dotenv.path
    )
}
