use ops_secrets::{Config, ErrorKind, SecretError, Secrets};
use proptest::prelude::*;

use crate::config;

fn refused(yaml: &str) -> SecretError {
    let error = Secrets::new(config().catalog_text(yaml)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    error
}

#[test]
fn the_overviews_catalog_loads_as_it_is() {
    let secrets = Secrets::new(config()).unwrap();
    let report = secrets.report();
    let names: Vec<_> = report
        .secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret.required))
        .collect();
    assert_eq!(names, [("mapbox_token", false), ("registry_api_key", true)]);
}

#[test]
fn a_wrong_catalog_is_refused_in_words_that_lead_to_the_place() {
    let rows = [
        ("secrets: {a: {requried: true}}", "requried"),
        (
            "secretz: {}",
            "line 1: unknown field `secretz`, expected `secrets`",
        ),
        (
            "secrets: {}\nsecrets: {}",
            "the catalog: duplicate field `secrets`",
        ),
        ("secrets: {a: {}, a: {}}", "duplicate secret `a`"),
        (
            "secrets: {a: {env_var: X}, b: {env_var: X}}",
            "`X` names both `a` and `b`",
        ),
        ("secrets: {a: {env_var: b}, b: {}}", "`b` names both"),
        ("secrets:\n  a:\n    default: no\n", "line 3"),
        ("secrets:\n  a:\n    default: 0123\n", "line 3"),
        ("secrets: {a: {default: 1e5}}", "quotes"),
        ("secrets:\n  a: {default: 1_000}", "line 2"),
        ("secrets:\n  a: {default: 12:30:45}", "line 2"),
        ("secrets:\n  a: {default: -1:30}", "line 2"),
        ("secrets:\n  a: {default: 1_000.5}", "line 2"),
        ("secrets:\n  a: {default: 1.000_5}", "line 2"),
        ("secrets:\n  a: {default: 1_000.5e+3}", "line 2"),
        ("secrets:\n  a: {default: 1:30.5}", "line 2"),
        ("secrets:\n  a: {default: -0123}", "line 2"),
        ("secrets:\n  a: {default: 0b101}", "line 2"),
        ("secrets:\n  a: {default: 0x1_F}", "line 2"),
        ("secrets:\n  a: {default: 2025-01-15}", "line 2"),
        ("secrets:\n  a: {default: 2025-01-15 10:30:00}", "line 2"),
        ("secrets:\n  a: {default: 2025-01-15T10:30:00Z}", "line 2"),
        ("secrets: {a: {default: true}}", "quotes"),
        ("secrets: {a: {required: maybe}}", "boolean"),
        (
            "secrets: {a: {aws_path: 'arn:aws:x'}}",
            "an ARN with six parts",
        ),
        (
            "secrets: {a: {aws_path: 'ssm:arn:aws:x'}}",
            "an ARN with six parts",
        ),
        (
            "secrets: {a: {aws_path: 'sm:arn:aws:ssm:eu-west-1:123456789012:parameter/a'}}",
            "different service",
        ),
        ("secrets: {a: {aws_path: '/a b'}}", "expected a path"),
        ("secrets: {a: {aws_path: '/a#'}}", "a field name after `#`"),
        ("secrets: {'a/b': {}}", "unexpected byte"),
        ("secrets: {a: {default: no}}", "line 1"),
        ("secrets: {a: {default: 0123, required: true}}", "line 1"),
        (
            "secrets:\n  a: {description: &day 2025-01-15}\n  b: {default: *day}\n",
            "line 2: default: put a number or a date in quotes",
        ),
        ("secrets:\n  a:\n    requried: true\n", "line 3"),
        (
            "secrets:\n  a: {}\n  b: {}\n  a: {}\n",
            "line 4: duplicate secret `a`",
        ),
        ("secrets:\n  a: {env_var: X}\n  b: {env_var: X}\n", "line 3"),
        ("secrets:\n  ok: {}\n  a/b: {}\n", "line 3"),
        ("secrets: {a: {aws_path: '/a:3'}}", "append a version"),
        ("secrets: {a: {aws_path: 'ssm:a/b'}}", "must start with one"),
        (
            "secrets: {a: {aws_path: 'ssm:/a+b'}}",
            "Parameter Store accepts",
        ),
        ("secrets: {a: {aws_path: ''}}", "expected a path"),
        ("secrets: {a: {aws_path: '///'}}", "expected a path"),
        ("secrets: {\"a\\0b\": {}}", "unexpected byte"),
        ("secrets: {a: {env_var: 'X Y'}}", "env_var"),
        (
            "secrets:\n  a:\n    description: x\n    \"default\": NO\n",
            "line 4",
        ),
        (
            "secrets:\n  a: {description: 'default: no',\n    default: 0123}\n",
            "line 3",
        ),
        ("secrets: {a: {path: \"\"}}", "path: expected"),
        ("secrets: [a]", "mapping"),
        ("- a", "expected a mapping with the key `secrets`"),
        ("\t- {", "catalog"),
    ];
    for (yaml, expected) in rows {
        let made = Secrets::new(config().catalog_text(yaml)).map_err(|error| error.to_string());
        assert!(
            made.as_ref()
                .is_err_and(|message| message.contains(expected)),
            "{yaml:?}: {made:?}"
        );
    }
}

#[test]
fn a_default_that_is_text_to_every_reader_needs_no_quotes() {
    let texts = [
        "db:5432",
        "8080:80",
        "127.0.0.1:80",
        "1.2.3",
        "10-20-30",
        "a_1",
        "2025-1-x",
        "2025-01-15-a",
        "2025-01-15 later",
        "::1",
        "1.2.3_4",
        "1_000.5.6",
        "1_000.5x",
        "1:30.5:40",
        "0bad_1",
        "0xyz",
        "0x",
        "a.1_0",
    ];
    for text in texts {
        let yaml = format!("secrets:\n  a:\n    default: {text}\n");
        let secrets = Secrets::new(config().catalog_text(yaml)).unwrap();
        assert_eq!(secrets.get("a").blocking().unwrap().expose(), text);
    }
}

#[test]
fn a_catalog_given_as_text_is_called_what_its_owner_calls_it() {
    let named = |yaml: &str| {
        config()
            .catalog_text(yaml)
            .catalog_name("secrets.yaml (embedded)")
    };
    let message = Secrets::new(named("secrets: 1")).unwrap_err().to_string();
    assert!(
        message.starts_with("secrets.yaml (embedded): "),
        "{message}"
    );
    let report = Secrets::new(named("secrets: {}")).unwrap().report();
    assert_eq!(report.catalog, "secrets.yaml (embedded)");
}

#[test]
fn a_value_in_the_place_of_settings_is_not_repeated() {
    for yaml in [
        "secrets: {a: planted}",
        "secrets: {a: {required: planted}}",
        "secrets: planted",
    ] {
        let message = refused(yaml).to_string();
        assert!(
            !message.contains("planted") && message.contains("expected"),
            "{message}"
        );
    }
}

#[test]
fn long_names_and_too_many_of_them_are_refused() {
    let message = refused(&format!(
        "secrets: {{a: {{env_var: {}}}}}",
        "A".repeat(10_000)
    ))
    .to_string();
    assert!(
        message.contains("10000 bytes; expected at most 256") && message.len() < 200,
        "{message}"
    );
    let lines: String = (0..10_001).map(|n| format!("  s{n}: {{}}\n")).collect();
    let message = refused(&format!("secrets:\n{lines}")).to_string();
    assert!(
        message.contains("10001 entries exceed the limit of 10000"),
        "{message}"
    );
}

#[test]
fn what_is_no_file_is_refused_by_name_without_hanging() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(made.success());
    let not_text = folder.path().join("not-text");
    std::fs::write(&not_text, [0xff, 0xfe]).unwrap();
    for path in [folder.path(), &fifo, &not_text] {
        let message = Secrets::new(Config::default().catalog(path))
            .unwrap_err()
            .to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
}

#[test]
fn settings_of_a_file_are_refused_with_key_and_line() {
    for (file, expected) in [
        (
            "ttl_seconds: 0",
            "ttl_seconds: 0; expected 1 to 2592000 at line 3 ",
        ),
        (
            "ttl_seconds: soon",
            "ttl_seconds: invalid type: string \"soon\", expected a whole number of seconds at line 3 ",
        ),
        (
            "max_stale_seconds: 9999999",
            "max_stale_seconds: 9999999; expected 0 to 2592000 at line 3 ",
        ),
        (
            "deadline_seconds: .nan",
            "deadline_seconds: NaN; expected 0.01 to 60 at line 3 ",
        ),
        (
            "region: eu_central",
            "region: \"eu_central\"; expected letters, digits and `-`, as in us-east-1",
        ),
        ("region: eu_central", " at line 3 "),
        (
            "aws_agent: http://db:1",
            "aws_agent: \"http://db:1\"; expected http:// with a loopback host",
        ),
        ("aws_agent: http://db:1", " at line 3 "),
    ] {
        let file = format!("aws: off\n\n{file}\n");
        let error = serde_yaml::from_str::<Config>(&file).err().unwrap();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    let file =
        "{ttl_seconds: 60, max_stale_seconds: 0, deadline_seconds: 1, region: ~, aws_agent: null}";
    assert!(serde_yaml::from_str::<Config>(file).is_ok());
}

#[test]
fn settings_out_of_range_are_refused_with_the_range() {
    let second = std::time::Duration::from_secs(1);
    let rows = [
        (
            config().ttl(std::time::Duration::ZERO),
            "ttl_seconds: 0; expected 1 to 2592000",
        ),
        (config().ttl(std::time::Duration::MAX), "ttl_seconds"),
        (
            config().max_stale(std::time::Duration::MAX),
            "max_stale_seconds",
        ),
        (
            config().deadline(std::time::Duration::ZERO),
            "deadline_seconds: 0; expected 0.01 to 60",
        ),
        (config().deadline(second * 61), "deadline_seconds: 61"),
    ];
    for (config, expected) in rows {
        let message = Secrets::new(config).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn two_mebibytes_and_a_bomb_are_refused_quickly() {
    let start = std::time::Instant::now();
    let message = refused(&"#".repeat(2 * 1024 * 1024)).to_string();
    assert!(
        message.contains("exceeds the limit of 1048576 bytes"),
        "{message}"
    );
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        bomb += &format!(
            "a{n}: &a{n} [{}]\n",
            vec![format!("*a{}", n - 1); 9].join(", ")
        );
    }
    refused(&format!("{bomb}secrets: {{a: *a11}}\n"));
    assert!(start.elapsed() < crate::SOON);
}

#[test]
fn quoted_words_null_and_empty_catalogs_are_accepted() {
    for yaml in [
        "",
        "secrets:\n",
        "# nothing\n",
        "secrets: {a: {default: \"no\"}}",
        "secrets: {a: {default: null, sensitive: false}}",
        "secrets:\n  a:\n    description: 'say default: no, or yes'\n",
        "secrets: {a: {description: 'say default: no, or yes', default: 'no'}}",
        "secrets: {a: {description: &d 'no', default: *d}}",
        "secrets:\n  a:\n    description: >\n      default: no\n      default: 0123\n    default: \"0123\"\n",
        "secrets:\n  a:\n    # default: no\n    default: |\n      no\n",
        "secrets:\n  default:\n    env_var: DEFAULT\n",
        "secrets: {a: {aws_path: '/x#a:b'}, b: {aws_path: 'sm:x#a:b'}}",
    ] {
        let made = Secrets::new(config().catalog_text(yaml));
        assert!(made.is_ok(), "{yaml:?}: {made:?}");
    }
}

#[test]
fn a_catalog_that_was_named_must_be_there() {
    let nothing: [(&str, &str); 0] = [];
    let named = Config::default()
        .environment(nothing)
        .catalog("/nonexistent/secrets.yaml");
    let message = Secrets::new(named).unwrap_err().to_string();
    let expected = "cannot read the catalog /nonexistent/secrets.yaml: No such file";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn variables_configure_the_resolver_and_wrong_ones_are_named() {
    let message = |name: &str, value: &str| {
        Config::default()
            .environment([(name, value)])
            .with_env()
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(message("OPS_ENV", "prod").contains("development or production, found \"prod\""));
    for right in ["production\r", " development "] {
        let config = Config::default().environment([("OPS_ENV", right)]);
        assert!(config.with_env().is_ok(), "{right:?}");
    }
    assert!(message("OPS_SECRETS_AWS", "yes").contains("auto, on or off, found \"yes\""));
    let region = Config::default().environment([("OPS_AWS_REGION", "us east")]);
    let message = Secrets::new(region.with_env().unwrap()).unwrap_err();
    assert!(message.to_string().contains("OPS_AWS_REGION"), "{message}");
}

#[test]
fn a_variable_that_is_not_utf8_is_wrong_and_not_unset() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let broken = |text: &str| OsString::from_vec([text.as_bytes(), b"\xff"].concat());
    let message = |name: &str, value: &str| {
        let config = Config::default().environment([(name, broken(value))]);
        config.with_env().map(|_| ()).unwrap_err().to_string()
    };
    let env = message("OPS_ENV", "production");
    assert!(env.contains("development or production"), "{env}");
    assert!(message("OPS_SECRETS_AWS", "off").contains("auto, on or off"));

    // paths are bytes: such a path is valid
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(broken("catalog.yaml"));
    std::fs::write(&path, "secrets: {a: {default: of the file}}").unwrap();
    let config = Config::default().environment([("OPS_SECRETS_FILE", path.as_os_str())]);
    let secrets = Secrets::new(config.with_env().unwrap()).unwrap();
    assert_eq!(secrets.get("a").blocking().unwrap().expose(), "of the file");

    // a reference to it becomes neither a secret with other bytes nor its default
    let dotenv = folder.path().join(".env");
    std::fs::write(&dotenv, "A=x${PART:-default}\n").unwrap();
    let config = Config::default().environment([("PART", broken("hunter2"))]);
    let config = config.catalog_text("secrets: {a: {default: unused}}");
    let secrets = Secrets::new(config.dotenv(&dotenv)).unwrap();
    let refused = secrets.get("a").blocking().unwrap_err().to_string();
    assert!(
        refused.contains("is not UTF-8") && !refused.contains("hunter2"),
        "{refused}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic_and_no_refusal_is_unclear(text in "(secrets:\n)?([ a-z:{}\\[\\]'\"#&*!|>\n-]|default: |aws_path: |env_var: ){0,60}") {
        if let Err(error) = Secrets::new(config().catalog_text(text)) {
            prop_assert_eq!(error.kind(), ErrorKind::Config);
            prop_assert!(error.to_string().starts_with("the catalog: "), "{}", error);
        }
    }
}

#[test]
fn a_configuration_that_was_wrong_once_does_not_stay_wrong_for_get_secret() {
    let file = "ops-test-of-the-process.yaml";
    if std::env::var_os("OPS_TEST_GLOBAL").is_some() {
        let get = || ops_secrets::get_secret("from_the_file").blocking();
        let missing = get().unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Config, "{missing}");
        std::fs::write(file, "secrets: {from_the_file: {default: found}}").unwrap();
        assert_eq!(get().unwrap().expose(), "found");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "catalog::a_configuration_that_was_wrong_once_does_not_stay_wrong_for_get_secret";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--test-threads=1"]);
    child.env("OPS_TEST_GLOBAL", "1").current_dir(folder.path());
    child
        .env("OPS_SECRETS_FILE", file)
        .env("OPS_SECRETS_AWS", "off");
    let output = child.output().unwrap();
    let message = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("1 passed"), "{message}");
}
