//! Resolves every secret of the catalog from all sources. Values are registered for redaction, and never shown.

use ops_layer::secrets::{ErrorKind, Report, Secrets};

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
    // failures are in the report, per secret
    let failed = secrets.validate_blocking().err();
    let report = secrets.report();
    let answer = match &failed {
        Some(error) => error.to_string(),
        None => format!(
            "all required secrets are available ({} requests to AWS)",
            report.aws_requests
        ),
    };
    answers.note("secrets", asked(&report), answer);
    let findings = ops_layer::diagnose_secrets(&secrets);
    answers.find(findings.into_iter().map(Found::from));
    ask_sts(&mut answers, &secrets);
    answers
}

/// Asks AWS for the identity of the credentials, which works regardless of their policy.
fn ask_sts(answers: &mut Answers, secrets: &Secrets) {
    let asked = "AWS, sts get-caller-identity";
    let error = match secrets.aws_identity_blocking() {
        Ok(None) => return,
        Ok(Some(arn)) => return answers.note("secrets", asked, arn),
        Err(error) => error,
    };
    answers.note("secrets", asked, chain(&error));
    if let Some(last) = answers.tried.last_mut() {
        last.ok = false;
    }
    let is_known = |found: &Found| found.id.starts_with("aws_");
    if answers.findings.iter().any(is_known) {
        return;
    }
    let id = match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::AccessDenied => "aws_credentials",
        ErrorKind::Throttled => "aws_throttled",
        // the environment hints at AWS, but there are no credentials: AWS is not used
        ErrorKind::Unavailable => return,
        _ => "aws_unreachable",
    };
    answers.find([Found::new(id, Severity::Warning)
        .seen(chain(&error))
        .means("Secrets that only AWS holds are unavailable; others are available.")
        .action("Check the credentials and the network path to AWS: `aws sts get-caller-identity`.")
        .runbook("secrets-not-loading")]);
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
