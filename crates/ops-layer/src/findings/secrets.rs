//! Rules about secrets. They name secrets, sources and responses, never a value.

use std::time::Duration;

use super::history::{History, NO_CAUSE, WINDOW};
use super::snapshot::{SecretState, Snapshot};
use super::{Finding, Severity};

const RUNBOOK: &str = "secrets-not-loading";
/// Minimum step of the clock that explains a refusal: AWS refuses requests that are
/// five minutes off, and the clock may have been off in the other direction before.
const REFUSED_STEP: Duration = Duration::from_secs(240);
/// Maximum number of secrets that a text names.
const NAMED: usize = 5;

pub(super) const AWS: [&str; 4] = [
    "aws_credentials",
    "aws_denied",
    "aws_throttled",
    "aws_unreachable",
];

/// Creates one finding for all failures at AWS: that of the kind that affects most secrets.
pub(super) fn aws(now: &Snapshot, history: &History) -> Option<Finding> {
    let known = &now.secrets.as_ref()?.known;
    let of = |kinds: &[&str]| -> Vec<&SecretState> {
        let is_of = |secret: &&SecretState| {
            secret.failed_at.starts_with("aws_")
                && secret.error.is_some_and(|kind| kinds.contains(&kind))
        };
        known.iter().filter(is_of).collect()
    };
    let kinds: [(&'static str, &[&str], &str, &str); 4] = [
        (
            "aws_credentials",
            &["unauthenticated"],
            "AWS rejects the credentials",
            "Log in again or renew the role; a wrong clock has the same effect (`date -u`).",
        ),
        (
            "aws_denied",
            &["access_denied", "decrypt"],
            "AWS denies access",
            "Allow ssm:GetParameters, secretsmanager:GetSecretValue and kms:Decrypt for this role on these names.",
        ),
        (
            "aws_throttled",
            &["throttled"],
            "AWS throttles requests",
            "Find what else uses up the account's quota, or raise it; lookups are retried with increasing delays.",
        ),
        (
            "aws_unreachable",
            &["unavailable", "transient"],
            "AWS cannot be reached",
            "Check AWS_REGION, the endpoint, and this machine's network route and proxy.",
        ),
    ];
    let found = kinds.map(|(id, kinds, what, action)| (id, of(kinds), what, action));
    let (id, secrets, what, action) = found
        .into_iter()
        .rev()
        .max_by_key(|(_, secrets, ..)| secrets.len())?;
    let first = secrets.first()?;
    let finding = Finding::new(id, severity(&secrets))
        .seen(format!("{what} for {}: {}", names(&secrets), first.detail))
        .means("These secrets are missing, stale, or come from a lower-priority source.")
        .action(action);
    let finding = match id {
        "aws_credentials" => history.clock_may_explain(finding, now, REFUSED_STEP),
        _ => finding,
    };
    Some(finding.runbook(RUNBOOK))
}

/// Creates one finding for failures of another kind, or at another store than AWS.
pub(super) fn failing(now: &Snapshot, _: &History) -> Option<Finding> {
    let known = &now.secrets.as_ref()?.known;
    let is_of_store = |secret: &&SecretState| {
        let is_aws = secret.failed_at.starts_with("aws_");
        let of_aws = |kind: &str| !matches!(kind, "malformed" | "config");
        secret.error.is_some_and(|kind| !(is_aws && of_aws(kind)))
    };
    let secrets: Vec<_> = known.iter().filter(is_of_store).collect();
    let first = secrets.first()?;
    let kind = first.error.unwrap_or_default();
    let finding = Finding::new("secret_source_failing", severity(&secrets))
        .seen(format!(
            "{} fails for {}: {kind}: {}",
            first.failed_at,
            names(&secrets),
            first.detail
        ))
        .means("These secrets are missing, stale, or come from a lower-priority source.")
        .action("Check the store and the path in the catalog: `secrets report` shows the result of each source.");
    Some(finding.runbook(RUNBOOK))
}

/// Returns the finding about the source that failed for the secret of this name; [`NO_CAUSE`] if none did.
pub(super) fn cause_of(now: &Snapshot, name: &str) -> &'static str {
    let known = now.secrets.iter().flat_map(|secrets| &secrets.known);
    cause(
        &known
            .filter(|secret| secret.name == name)
            .collect::<Vec<_>>(),
    )
}

/// Returns the finding about the source that failed for one of these secrets; [`NO_CAUSE`] if none did.
fn cause(secrets: &[&SecretState]) -> &'static str {
    let mut failed = secrets
        .iter()
        .filter_map(|secret| Some((secret.failed_at, secret.error?)));
    let Some((source, kind)) = failed.next() else {
        return NO_CAUSE;
    };
    match kind {
        _ if !source.starts_with("aws_") => "secret_source_failing",
        "unauthenticated" => "aws_credentials",
        "access_denied" | "decrypt" => "aws_denied",
        "throttled" => "aws_throttled",
        "unavailable" | "transient" => "aws_unreachable",
        _ => "secret_source_failing",
    }
}

/// Returns the severity: a missing required secret stops whatever needs it.
fn severity(secrets: &[&SecretState]) -> Severity {
    let mut secrets = secrets.iter();
    match secrets.any(|secret| secret.is_required && !secret.is_present) {
        true => Severity::Critical,
        false => Severity::Warning,
    }
}

pub(super) fn required_missing(now: &Snapshot, _: &History) -> Option<Finding> {
    let known = &now.secrets.as_ref()?.known;
    let missing: Vec<_> = known
        .iter()
        .filter(|secret| secret.is_required && secret.is_asked && !secret.is_present)
        .collect();
    let first = missing.first()?;
    let (names, variable) = (names(&missing), &first.env_var);
    let seen = match missing.iter().find(|secret| secret.error.is_some()) {
        Some(failed) => format!(
            "{names} cannot be resolved (variable {variable}): {}",
            failed.detail
        ),
        None => format!("no source has {names} (variable {variable})"),
    };
    let finding = Finding::new("required_secret_missing", Severity::Critical)
        .seen(seen)
        .explained_by(cause(&missing))
        .means("Operations that need it fail.")
        .action("Set the variable, or store the secret where the catalog expects it: `secrets report` lists each source.");
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn default_in_production(now: &Snapshot, _: &History) -> Option<Finding> {
    let known = &now.secrets.as_ref()?.known;
    let is_default = |secret: &&SecretState| {
        secret.is_default && secret.is_asked && (secret.is_required || secret.is_sensitive)
    };
    let defaults: Vec<_> = known.iter().filter(is_default).collect();
    if !now.is_production || defaults.is_empty() {
        return None;
    }
    let finding = Finding::new("default_in_production", Severity::Critical)
        .seen(format!(
            "the catalog default is used for {} while OPS_ENV is production",
            names(&defaults)
        ))
        .explained_by(cause(&defaults))
        .means("Everyone who can read the catalog knows this value.")
        .action("Set it in the environment or in a secret store.");
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn stale(now: &Snapshot, history: &History) -> Option<Finding> {
    let secrets = now.secrets.as_ref()?;
    let old: Vec<_> = secrets
        .known
        .iter()
        .filter(|secret| secret.is_stale)
        .collect();
    let before = history
        .since(now, WINDOW)
        .and_then(|before| before.secrets.as_ref());
    let served = before.map_or(0, |before| {
        secrets.stale_served.saturating_sub(before.stale_served)
    });
    if old.is_empty() && served == 0 {
        return None;
    }
    let age = old
        .iter()
        .filter_map(|secret| secret.age)
        .max()
        .unwrap_or(0);
    let seen = match old.is_empty() {
        true => format!("{served} calls got a stale value in the last minute"),
        false => format!(
            "the value of {} is past its TTL, up to {age} s old; {served} calls got a stale value in the last minute",
            names(&old)
        ),
    };
    let mut finding = Finding::new("secret_stale", Severity::Warning)
        .seen(seen)
        .means(
            "A rotated secret is not picked up; calls fail once the value has been stale for `max_stale_seconds`.",
        )
        .action("Restore the source of these secrets.");
    if !old.is_empty() {
        finding = finding.explained_by(cause(&old));
    }
    Some(finding.runbook(RUNBOOK))
}

fn names(secrets: &[&SecretState]) -> String {
    let shown: Vec<_> = secrets
        .iter()
        .take(NAMED)
        .map(|secret| secret.name.as_str())
        .collect();
    let more = secrets.len().saturating_sub(NAMED);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
