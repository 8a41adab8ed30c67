use std::fs;
use std::os::unix::fs::PermissionsExt;

use ops_secrets::{AwsMode, ErrorKind, SecretSource, Secrets};

use crate::{Bench, TOKEN_PATH};

fn dotenv(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn source_with(present: &[SecretSource]) -> (SecretSource, String) {
    let file = dotenv("MAPBOX_ACCESS_TOKEN=from-the-file\n");
    let bench = Bench::new(|mut config| {
        if present.contains(&SecretSource::Env) {
            config = config.environment([("MAPBOX_ACCESS_TOKEN", "from-the-environment")]);
        }
        if present.contains(&SecretSource::DotEnv) {
            config.dotenv(file.path())
        } else {
            config
        }
    });
    if present.contains(&SecretSource::AwsSsm) {
        bench.ssm.set(TOKEN_PATH, "from-ssm");
    }
    if present.contains(&SecretSource::AwsSecretsManager) {
        bench.sm.set(TOKEN_PATH.trim_start_matches('/'), "from-sm");
    }
    let secret = bench
        .secrets
        .get("mapbox_token")
        .or("from-the-caller")
        .blocking()
        .unwrap();
    (secret.source(), secret.expose().to_owned())
}

#[test]
fn each_source_wins_over_all_that_come_after_it() {
    use SecretSource::{AwsSecretsManager, AwsSsm, Default, DotEnv, Env};
    let order = [Env, AwsSsm, AwsSecretsManager, DotEnv];
    let texts = [
        "from-the-environment",
        "from-ssm",
        "from-sm",
        "from-the-file",
        "from-the-caller",
    ];
    for first in 0..=order.len() {
        let expected = order.get(first).copied().unwrap_or(Default);
        assert_eq!(
            source_with(&order[first..]),
            (expected, texts[first].to_owned())
        );
    }
}

#[test]
fn a_name_and_its_variable_are_one_secret_with_one_lookup() {
    let bench = Bench::new(|config| config);
    bench.ssm.set(TOKEN_PATH, "from-ssm");
    assert_eq!(bench.token().unwrap().source(), SecretSource::AwsSsm);
    assert_eq!(
        bench
            .secrets
            .get("MAPBOX_ACCESS_TOKEN")
            .blocking()
            .unwrap()
            .expose(),
        "from-ssm"
    );
    assert_eq!(bench.ssm.calls(), [[TOKEN_PATH]]);
}

#[test]
fn secrets_manager_is_asked_without_the_leading_slash_then_as_written() {
    let bench = Bench::new(|config| config);
    bench.sm.set(TOKEN_PATH, "as-written");
    assert_eq!(bench.token().unwrap().expose(), "as-written");
    assert_eq!(
        bench.sm.calls(),
        [["kearney-platform/prod/mapbox_token"], [TOKEN_PATH]]
    );
}

#[test]
fn no_failure_is_replaced_by_the_file_or_the_default() {
    let file = dotenv("MAPBOX_ACCESS_TOKEN=from-the-file\n");
    for kind in ErrorKind::ALL
        .iter()
        .copied()
        .filter(|kind| *kind != ErrorKind::Missing)
    {
        let bench = Bench::new(|config| config.dotenv(file.path()));
        bench.ssm.fail(TOKEN_PATH, kind);
        bench.sm.remove("kearney-platform/prod/mapbox_token");
        let error = bench
            .secrets
            .get("mapbox_token")
            .or("from-the-caller")
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        let message = error.to_string();
        assert!(
            message.contains("MAPBOX_ACCESS_TOKEN is not set") && message.contains(TOKEN_PATH),
            "{message}"
        );
        assert!(!message.contains("from-the"), "{message}");
    }
}

#[test]
fn in_automatic_mode_an_unreachable_aws_falls_back_to_the_next_source() {
    let file = dotenv("MAPBOX_ACCESS_TOKEN=from-the-file\n");
    let hint = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")];
    let bench = Bench::new(|config| {
        config
            .dotenv(file.path())
            .aws(AwsMode::Auto)
            .environment(hint)
    });
    bench.ssm.fail(TOKEN_PATH, ErrorKind::Unavailable);
    assert_eq!(bench.token().unwrap().source(), SecretSource::DotEnv);
}

#[test]
fn where_aws_is_on_an_unreachable_parameter_store_is_not_passed_over_for_secrets_manager() {
    let bench = Bench::new(|config| config);
    bench.ssm.fail(TOKEN_PATH, ErrorKind::Unavailable);
    bench
        .sm
        .set("kearney-platform/prod/mapbox_token", "the-wrong-one");
    let error = bench.token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(bench.sm.calls().is_empty());
}

#[test]
fn a_pin_or_a_name_that_a_service_cannot_have_asks_the_other_alone() {
    let catalog = "secrets: {a: {aws_path: 'ssm:/a'}, b: {aws_path: 'sm:/b'}, c: {aws_path: 'rds!cluster-1/c+d'}}";
    let bench = Bench::new(|config| config.catalog_text(catalog));
    for name in ["a", "b", "c"] {
        assert!(
            bench
                .secrets
                .get(name)
                .optional_blocking()
                .unwrap()
                .is_none()
        );
    }
    assert_eq!(bench.ssm.calls(), [["/a"]]);
    assert_eq!(bench.sm.calls(), [["b"], ["/b"], ["rds!cluster-1/c+d"]]);
}

#[test]
fn a_secret_is_reported_as_a_call_would_find_it() {
    let catalog = "secrets:
  a: {required: true, default: x}
  api_key: {aws_path: /b, default: plain}
  c: {}
";
    let bench = Bench::new(|config| config.catalog_text(catalog).production(true));
    let report = |bench: &Bench| bench.secrets.report().secrets;
    let found = |secrets: &[ops_secrets::SecretReport]| {
        secrets
            .iter()
            .map(|secret| secret.source)
            .collect::<Vec<_>>()
    };
    use SecretSource::{AwsSsm, Default, Missing};
    assert_eq!(found(&report(&bench)), [Missing, Default, Missing]);
    assert!(
        report(&bench)[0].problems[0]
            .contains("required secrets do not use defaults in production")
    );
    assert!(
        report(&bench)[1].not_asked_yet
            && report(&bench)[1].problems[0].contains("plain-text default")
    );
    bench.ssm.fail("/b", ErrorKind::AccessDenied);
    bench.secrets.get("api_key").blocking().unwrap_err();
    assert_eq!(found(&report(&bench)), [Missing, Missing, Missing]);
    assert_eq!(report(&bench)[1].last_error, Some(ErrorKind::AccessDenied));
    assert_eq!(
        report(&bench)[1].last_error_detail.as_deref(),
        Some("/b: injected: access_denied")
    );
    bench.ssm.set("/b", "value\n");
    bench.clock.advance(std::time::Duration::from_secs(60));
    bench.secrets.get("api_key").blocking().unwrap();
    let now = report(&bench);
    assert_eq!(found(&now), [Missing, AwsSsm, Missing]);
    assert_eq!((now[1].age_seconds, now[1].last_error), (Some(0), None));
    assert!(
        now[1]
            .next_refresh_seconds
            .is_some_and(|due| (216..=240).contains(&due))
    );
    assert!(now[1].problems[0].contains("line break"));
}

#[test]
fn a_value_that_ends_with_a_line_break_of_any_system_is_reported() {
    for (value, is_reported) in [
        ("value\n", true),
        ("value\r\n", true),
        // an environment file from Windows, whose lines are read without their `\n`
        ("value\r", true),
        ("va\rlue", false),
    ] {
        let config = crate::config().catalog_text("secrets: {api_key: {}}");
        let secrets = Secrets::new(config.environment([("API_KEY", value)])).unwrap();
        let problems = &secrets.report().secrets[0].problems;
        assert_eq!(
            problems == &["the value ends with a line break"],
            is_reported,
            "{value:?}"
        );
    }
}

#[test]
fn an_unreachable_source_is_left_alone_for_a_minute() {
    let hint = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")];
    let bench = Bench::new(|config| config.aws(AwsMode::Auto).environment(hint));
    bench.ssm.fail(TOKEN_PATH, ErrorKind::Unavailable);
    for name in ["mapbox_token", "registry_api_key", "mapbox_token"] {
        assert_eq!(
            bench.secrets.get(name).or("x").blocking().unwrap().source(),
            SecretSource::Default
        );
    }
    assert_eq!(bench.ssm.calls().len(), 1);
    bench.ssm.set(TOKEN_PATH, "back-again");
    bench.clock.advance(ops_secrets::BREAKER_OPEN);
    assert_eq!(bench.token().unwrap().expose(), "back-again");
}

#[test]
fn in_production_a_required_secret_never_falls_back_to_a_default() {
    let development = Bench::new(|config| config);
    assert_eq!(
        development
            .secrets
            .get("registry_api_key")
            .blocking()
            .unwrap()
            .source(),
        SecretSource::Default
    );
    let production = Bench::new(|config| config.production(true));
    let error = production
        .secrets
        .get("registry_api_key")
        .blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(!error.to_string().contains("kearney-registry-key"));
    assert_eq!(
        production
            .secrets
            .get("registry_api_key")
            .source_blocking()
            .unwrap(),
        SecretSource::Missing
    );
}

#[test]
fn what_is_nowhere_is_missing_and_every_source_is_named() {
    let bench = Bench::new(|config| config);
    assert!(
        bench
            .secrets
            .get("mapbox_token")
            .optional_blocking()
            .unwrap()
            .is_none()
    );
    let error = bench.token().unwrap_err();
    let sources: Vec<_> = error.tried().iter().map(|attempt| attempt.source).collect();
    use SecretSource::{AwsSecretsManager, AwsSsm, DotEnv, Env};
    assert_eq!(
        sources,
        [Env, AwsSsm, AwsSecretsManager, AwsSecretsManager, DotEnv]
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let bench = Bench::new(|config| config.environment([("MAPBOX_ACCESS_TOKEN", "")]));
    assert_eq!(
        bench
            .secrets
            .get("mapbox_token")
            .or("d")
            .blocking()
            .unwrap()
            .source(),
        SecretSource::Default
    );
}

#[test]
fn a_variable_that_is_not_text_is_malformed() {
    use std::os::unix::ffi::OsStringExt;
    let value = std::ffi::OsString::from_vec(vec![0xff, 0xfe]);
    let bench = Bench::new(|config| config.environment([("API_KEY", value)]));
    assert_eq!(
        bench
            .secrets
            .get("API_KEY")
            .or("d")
            .blocking()
            .unwrap_err()
            .kind(),
        ErrorKind::Malformed
    );
}

#[test]
fn wrong_names_and_lifetimes_are_refused_without_being_repeated() {
    let bench = Bench::new(|config| config);
    let long = "x".repeat(10_000);
    for name in [
        "",
        "a\0b",
        "pk.eyJ/planted",
        "a b",
        "A=B",
        "../a",
        "schlüssel",
        long.as_str(),
    ] {
        let error = bench.secrets.get(name).or("d").blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(!error.to_string().contains("planted") && error.to_string().len() < 200);
    }
    for seconds in [
        -1.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e18,
        1e300,
    ] {
        let error = bench
            .secrets
            .get("mapbox_token")
            .ttl_seconds(seconds)
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    assert!(bench.ssm.calls().is_empty());
}

#[test]
fn a_json_member_is_selected_and_a_wrong_one_is_malformed() {
    let catalog = "secrets: {user: {aws_path: '/db#login.user'}, port: {aws_path: 'sm:/db#port'}, bad: {aws_path: '/db#login'}}";
    let bench = Bench::new(|config| config.catalog_text(catalog));
    let json = r#"{"login": {"user": "ada"}, "port": 12345678901234567890123}"#;
    bench.ssm.set("/db", json);
    bench.sm.set("db", json);
    assert_eq!(
        bench.secrets.get("user").blocking().unwrap().expose(),
        "ada"
    );
    let port = bench.secrets.get("port").blocking().unwrap();
    assert_eq!(
        (port.expose(), port.source()),
        ("12345678901234567890123", SecretSource::AwsSecretsManager)
    );
    let error = bench.secrets.get("bad").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(!error.to_string().contains("ada"));
}

#[test]
fn an_empty_variable_is_reported_as_empty() {
    let folder = tempfile::tempdir().unwrap();
    let dotenv = folder.path().join(".env");
    std::fs::write(&dotenv, "MAPBOX_ACCESS_TOKEN=\n").unwrap();
    let config = crate::config().environment([("MAPBOX_ACCESS_TOKEN", "")]);
    let secrets = Secrets::new(config.dotenv(&dotenv)).unwrap();
    let message = secrets
        .get("mapbox_token")
        .blocking()
        .unwrap_err()
        .to_string();
    let empty = "MAPBOX_ACCESS_TOKEN is empty, which counts as unset";
    assert_eq!(message.matches(empty).count(), 2, "{message}");
}

#[test]
fn variables_that_the_program_is_above_are_known_with_what_holds() {
    let variables = [
        ("OPS_SECRETS_AWS", "ON"),
        ("OPS_DOTENV", "a.env"),
        ("OPS_SECRETS_FILE", "a.yaml"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_SSM", "http://localhost:1"),
    ];
    let config = ops_secrets::Config::default().environment(variables);
    let config = config.with_env().unwrap();
    assert_eq!(config.overruled(), []);
    let above = config
        .aws(AwsMode::Off)
        .catalog("b.yaml")
        .region("eu-central-1")
        .endpoint_url("http://localhost:2");
    let right = [
        ("OPS_SECRETS_AWS", "off"),
        ("OPS_SECRETS_FILE", "b.yaml"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL_SSM", "http://localhost:2"),
    ];
    let right = right.map(|(name, used)| (name, used.to_owned()));
    assert_eq!(above.overruled(), right);
}
