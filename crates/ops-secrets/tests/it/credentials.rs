//! Credentials, region and endpoint: the configured ones, or an error that shows what is wrong with them.

use std::path::Path;
use std::time::Duration;

use ops_secrets::testing::ManualClock;
use ops_secrets::{AwsMode, Config, ErrorKind, SecretSource, Secrets};

use crate::config;
use crate::proxy::{Fault, Proxy};

const ANSWER: &str = "{\"Parameter\":{\"Name\":\"/a\",\"Value\":\"value-of-a\"}}";

fn with(variables: &[(&str, &str)]) -> Config {
    let catalog = "secrets: {a: {aws_path: 'ssm:/a', default: never}}";
    let variables = variables.iter().copied();
    config().catalog_text(catalog).environment(variables)
}

fn error(config: Config) -> ops_secrets::SecretError {
    let secrets = Secrets::new(config).unwrap();
    secrets.get("a").blocking().unwrap_err()
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn named_credentials_that_cannot_be_used_are_an_error_in_either_mode() {
    let folder = tempfile::tempdir().unwrap();
    let profiles = write(
        &folder.path().join("config"),
        "[profile incomplete]\nregion = us-east-1\n\
         [profile sso]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n\
         [sso-session s]\nsso_region = us-east-1\nsso_start_url = https://localhost.invalid/start\n\
         [profile process]\ncredential_process = /nonexistent/program\n\
         [profile loop]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = gone\n",
    );
    let region = ("AWS_REGION", "us-east-1");
    let files = ("AWS_CONFIG_FILE", profiles.as_str());
    let missing = folder.path().join("no-token");
    let missing = missing.to_str().unwrap();
    let rows: [(&[(&str, &str)], &str); 9] = [
        (&[region, files, ("AWS_PROFILE", "absent")], "absent"),
        (
            &[region, files, ("AWS_PROFILE", "incomplete")],
            "AWS_PROFILE=incomplete",
        ),
        (&[region, files, ("AWS_PROFILE", "sso")], "sso"),
        (&[region, files, ("AWS_PROFILE", "process")], "process"),
        (&[region, files, ("AWS_PROFILE", "loop")], "gone"),
        (
            &[region, ("AWS_ACCESS_KEY_ID", "AKIA")],
            "AWS_SECRET_ACCESS_KEY is not",
        ),
        (
            &[region, ("AWS_SECRET_ACCESS_KEY", "half of a pair")],
            "AWS_ACCESS_KEY_ID is not",
        ),
        (
            &[
                region,
                ("AWS_WEB_IDENTITY_TOKEN_FILE", missing),
                ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
            ],
            "no-token",
        ),
        (
            &[
                region,
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    "http://169.254.170.2/x",
                ),
            ],
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
    ];
    for (variables, expected) in rows {
        for mode in [AwsMode::Auto, AwsMode::On] {
            let error = error(with(variables).aws(mode));
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().contains(expected), "{expected}: {error}");
        }
    }
}

#[test]
fn a_given_environment_holds_for_aws_too() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "[other]\naws_access_key_id = AKIAGIVEN\naws_secret_access_key = secret\nregion = eu-west-1\n";
    let keys = write(&folder.path().join("credentials"), keys);
    let proxy = Proxy::always(Fault::Body(ANSWER.into()));
    let elsewhere = Proxy::always(Fault::HangUp);
    let profile = [
        ("AWS_PROFILE", "other"),
        ("AWS_SHARED_CREDENTIALS_FILE", &keys),
    ];
    for endpoint in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SSM"] {
        let mut variables = profile.to_vec();
        variables.push((endpoint, &proxy.url));
        if endpoint == "AWS_ENDPOINT_URL_SSM" {
            variables.push(("AWS_ENDPOINT_URL", &elsewhere.url));
        }
        let secrets = Secrets::new(with(&variables)).unwrap();
        assert_eq!(secrets.get("a").blocking().unwrap().expose(), "value-of-a");
    }
    assert!(
        proxy
            .heads()
            .iter()
            .all(|head| head.contains("AKIAGIVEN") && head.contains("/eu-west-1/"))
    );
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn an_invalid_region_is_named_in_the_error() {
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    for region in ["us-east-1\n", "us east", "us-east-1/x"] {
        let mut variables = keys.to_vec();
        variables.push(("AWS_REGION", region));
        let error = error(with(&variables).aws(AwsMode::On));
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error
                .to_string()
                .contains("AWS_REGION is not a valid region"),
            "{error}"
        );
        let reported = Secrets::new(with(&keys).region(region))
            .unwrap_err()
            .to_string();
        let expected = format!("region: {region:?}; expected");
        assert!(reported.contains(&expected), "{reported}");
    }
}

#[test]
fn refusals_say_what_was_refused() {
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_REGION", "us-east-1"),
    ];
    let rows = [
        (
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt",
            ErrorKind::Decrypt,
            "kms:Decrypt",
        ),
        (
            "AccessDeniedException",
            "The ciphertext refers to a customer master key that does not exist",
            ErrorKind::Decrypt,
            "customer master key",
        ),
        (
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/x is not authorized to perform: ssm:GetParameter",
            ErrorKind::AccessDenied,
            "ssm:GetParameter",
        ),
        (
            "AccessDeniedException",
            "User: arn:aws:sts::1:assumed-role/kms-app/i is not authorized to perform: ssm:GetParameter on resource: /p/kms_token",
            ErrorKind::AccessDenied,
            "kms_token",
        ),
        (
            "RequestTimeTooSkewed",
            "too large",
            ErrorKind::Unauthenticated,
            "clock skew",
        ),
        (
            "InvalidSignatureException",
            "Signature expired: 2026",
            ErrorKind::Unauthenticated,
            "clock skew",
        ),
    ];
    for (code, message, kind, expected) in rows {
        let proxy = Proxy::always(Fault::Error(400, code, message));
        let error = error(with(&keys).aws(AwsMode::On).endpoint_url(&proxy.url));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Runs the test of this name in a separate process, because the SDK's own chain reads the
/// process's variables: with a role to assume at `sts`, and the parameter store at `ssm`.
fn with_a_role(test: &str, sts: &Proxy, ssm: &str) {
    let folder = tempfile::tempdir().unwrap();
    let profiles = format!(
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = keys\nregion = us-east-1\n\
         [profile keys]\naws_access_key_id = AKIA\naws_secret_access_key = s\nendpoint_url = {}\n",
        sts.url
    );
    let profiles = write(&folder.path().join("config"), &profiles);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", &format!("credentials::{test}"), "--nocapture"])
        .env("OPS_TEST_ROLE", ssm)
        .env("AWS_CONFIG_FILE", profiles)
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("AWS_PROFILE", "role")
        .env("AWS_ENDPOINT_URL_STS", &sts.url);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!sts.seen().is_empty(), "{text}");
}

/// Returns the configuration inside of [`with_a_role`].
fn of_a_role(mode: AwsMode) -> Option<Config> {
    let ssm = std::env::var("OPS_TEST_ROLE").ok()?;
    let config = Config::default()
        .catalog_text("secrets: {a: {aws_path: 'ssm:/a', default: never}}")
        .dotenv("/nonexistent/.env");
    Some(config.aws(mode).endpoint_url(&ssm))
}

#[test]
fn a_refused_role_is_a_refusal_after_which_nothing_stale_is_served() {
    let Some(config) = of_a_role(AwsMode::On) else {
        let sts = Proxy::answering(None, |_, _| (200, String::new()));
        sts.answer_as_sts();
        let ssm = Proxy::always(Fault::Body(ANSWER.into()));
        let test = "a_refused_role_is_a_refusal_after_which_nothing_stale_is_served";
        with_a_role(test, &sts, &ssm.url);
        assert!(sts.seen().len() >= 2, "{:?}", sts.seen());
        return;
    };
    let clock = ManualClock::new();
    let secrets = Secrets::new(config.clock(&clock)).unwrap();
    // the first session has already expired, so the second lookup assumes the role again
    assert_eq!(
        secrets.get("a").blocking().unwrap().source(),
        SecretSource::AwsSsm
    );
    clock.advance(Duration::from_secs(400));
    let error = secrets.get("a").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
    assert!(error.to_string().contains("sts:AssumeRole"), "{error}");
}

#[test]
fn a_temporarily_unavailable_role_is_not_a_configuration_error() {
    let Some(config) = of_a_role(AwsMode::On) else {
        let test = "a_temporarily_unavailable_role_is_not_a_configuration_error";
        for code in ["Throttling", "ServiceUnavailable"] {
            let body = format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>later</Message></Error></ErrorResponse>"
            );
            let status = if code == "Throttling" { 400 } else { 503 };
            let sts = Proxy::answering(None, move |_, _| (status, body.clone()));
            with_a_role(test, &sts, "http://127.0.0.1:1");
        }
        // the connection breaks
        let sts = Proxy::always(Fault::HangUp);
        with_a_role(test, &sts, "http://127.0.0.1:1");
        return;
    };
    let secrets = Secrets::new(config.deadline(Duration::from_secs(10))).unwrap();
    let error = secrets.get("a").blocking().unwrap_err();
    let passes = [ErrorKind::Transient, ErrorKind::Throttled];
    assert!(passes.contains(&error.kind()), "{error}");
}

#[test]
fn credentials_that_are_late_are_reported_as_late_and_named_ones_are_not_passed_over() {
    for mode in [AwsMode::Auto, AwsMode::On] {
        let Some(config) = of_a_role(mode) else {
            let sts = Proxy::always(Fault::Held);
            let test =
                "credentials_that_are_late_are_reported_as_late_and_named_ones_are_not_passed_over";
            with_a_role(test, &sts, "http://127.0.0.1:1");
            return;
        };
        let secrets = Secrets::new(config.deadline(Duration::from_secs(2))).unwrap();
        let error = secrets.get("a").blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        assert!(
            error
                .to_string()
                .contains("AWS_PROFILE=role: loading credentials timed out"),
            "{error}"
        );
    }
}

/// Checks that both are in effect together: the SDK refuses the combination, but only if it knows both.
#[test]
fn endpoints_that_a_given_environment_asks_for_are_not_passed_over() {
    let proxy = Proxy::always(Fault::Body(ANSWER.into()));
    let keys = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let ask = |variable: &str, on: &str| {
        let variables = [&keys[..], &[(variable, on)]].concat();
        let config = with(&variables).endpoint_url(&proxy.url);
        Secrets::new(config).unwrap().get("a").blocking()
    };
    for (variable, word) in [
        ("AWS_USE_FIPS_ENDPOINT", "FIPS"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "Dualstack"),
    ] {
        let refused = ask(variable, "true").unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
        assert_eq!(refused.kind(), ErrorKind::Config, "{refused}");
        assert_eq!(ask(variable, "false").unwrap().expose(), "value-of-a");
    }
}

fn write_keys(path: &Path, id: &str) -> String {
    write(
        path,
        &format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = secret\n"),
    )
}

#[test]
fn credentials_that_were_replaced_are_used_once_the_old_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let keys = |id: &str| write_keys(&path, id);
    let refused = Fault::Error(
        400,
        "ExpiredTokenException",
        "The security token is expired",
    );
    let proxy = Proxy::always(refused);
    let (clock, file) = (ManualClock::new(), keys("AKIAOLD"));
    let variables = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_SHARED_CREDENTIALS_FILE", &file),
        ("AWS_ENDPOINT_URL", &proxy.url),
    ];
    let secrets = Secrets::new(with(&variables).aws(AwsMode::On).clock(&clock)).unwrap();
    let error = secrets.get("a").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    // like a login that writes new keys every hour
    keys("AKIANEW");
    proxy.set(vec![crate::proxy::Rule {
        operation: "",
        text: "",
        fault: Fault::Body(ANSWER.into()),
    }]);
    clock.advance(Duration::from_secs(61));
    assert_eq!(secrets.get("a").blocking().unwrap().expose(), "value-of-a");
    let heads = proxy.heads();
    assert!(heads.first().unwrap().contains("AKIAOLD"), "{heads:?}");
    assert!(heads.last().unwrap().contains("AKIANEW"), "{heads:?}");
}

#[test]
fn a_profile_that_is_written_later_is_found_and_missed_in_the_same_words_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let file = write(&path, "[other]\n");
    let proxy = Proxy::always(Fault::Body(ANSWER.into()));
    let clock = ManualClock::new();
    let variables = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_PROFILE", "late"),
        ("AWS_SHARED_CREDENTIALS_FILE", &file),
        ("AWS_ENDPOINT_URL", &proxy.url),
    ];
    let secrets = Secrets::new(with(&variables).clock(&clock)).unwrap();
    let ask = || {
        let answer = secrets.get("a").blocking();
        clock.advance(Duration::from_secs(61));
        answer.map(|secret| secret.expose().to_owned())
    };
    let first = ask().unwrap_err();
    assert!(first.to_string().contains("late"), "{first}");
    assert_eq!(ask().unwrap_err().to_string(), first.to_string());
    write(
        &path,
        "[late]\naws_access_key_id = AKIALATE\naws_secret_access_key = secret\n",
    );
    assert_eq!(ask().unwrap(), "value-of-a");
}

#[test]
fn credentials_are_kept_where_the_service_is_not_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let keys = |id: &str| write_keys(&path, id);
    let proxy = Proxy::always(Fault::Body(ANSWER.into()));
    let (clock, file) = (ManualClock::new(), keys("AKIAOLD"));
    let variables = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_SHARED_CREDENTIALS_FILE", &file),
        ("AWS_ENDPOINT_URL_SSM", &proxy.url),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1"),
    ];
    let catalog =
        "secrets:\n  a: {aws_path: 'ssm:/a'}\n  away: {aws_path: 'sm:away', default: never}";
    let config = with(&variables).catalog_text(catalog).aws(AwsMode::On);
    let secrets = Secrets::new(config.clock(&clock)).unwrap();
    assert_eq!(secrets.get("a").blocking().unwrap().expose(), "value-of-a");
    let error = secrets.get("away").blocking().unwrap_err();
    assert!(error.to_string().contains("cannot connect"), "{error}");
    keys("AKIANEW");
    clock.advance(Duration::from_secs(400));
    assert_eq!(secrets.get("a").blocking().unwrap().expose(), "value-of-a");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads[1].contains("AKIAOLD"), "{heads:?}");
}
