//! Places of secrets at AWS beyond a name: ARNs, versions and stages; and secrets that are not text.

use aws_sdk_secretsmanager::primitives::Blob;
use ops_secrets::testing::{ManualClock, MemorySource};
use ops_secrets::{AwsMode, ErrorKind, SecretSource, Secrets};
use serde_json::json;

use crate::moto::{Moto, aws};
use crate::proxy::Proxy;

#[test]
fn an_invalid_aws_path_is_refused_with_what_is_accepted() {
    for (path, expected) in [
        (
            "arn:aws:ssm:us-east-1:123:parameter/a",
            "account of 12 digits",
        ),
        ("arn:aws:ssm:us-east-1:123456789012", "six parts"),
        (
            "arn:aws:s3:us-east-1:123456789012:bucket",
            "ARN of a parameter",
        ),
        (
            "arn:aws:ssm:us-east-1:123456789012:document/a",
            "ARN of a parameter",
        ),
        ("/a?version=3", "needs the prefix `ssm:` or `sm:`"),
        ("ssm:/a?version=three", "`?version=` with a number"),
        ("ssm:/a?label=", "`?version=` with a number"),
        ("ssm:/a?stage=AWSPREVIOUS", "`?label=` with a label"),
        ("sm:a?label=x", "`?stage=` with a stage"),
        ("sm:a?stage=two words", "`?stage=` with a stage"),
        ("ssm:/a:3", "`?version=3`"),
    ] {
        let config = crate::config().secret("a", path);
        let error = Secrets::new(config).err().ok_or(path).unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(expected), "{path}: {error}");
    }
    let twice = crate::config().secret("a", "sm:a").secret("A", "sm:b");
    let error = Secrets::new(twice).err().unwrap().to_string();
    assert!(error.contains("`A` conflicts with `a`"), "{error}");
}

/// Returns the request that a place causes: its operation, the relevant part of its body, and its head.
fn asked(path: &str) -> (String, serde_json::Value, String) {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = std::sync::Arc::clone(&seen);
    let proxy = Proxy::answering(None, move |operation, body| {
        noted
            .lock()
            .unwrap()
            .push((operation.to_owned(), body.clone()));
        let answer =
            json!({"Parameter": {"Name": "x", "Value": "v"}, "Name": "x", "SecretString": "v"});
        (200, answer.to_string())
    });
    let secrets = Secrets::new(aws(&proxy.url).secret("a", path)).unwrap();
    assert_eq!(secrets.get("a").blocking().unwrap().expose(), "v", "{path}");
    let (operation, body) = seen.lock().unwrap().pop().unwrap();
    (operation, body, proxy.heads().concat())
}

#[test]
fn arns_go_to_their_service_and_their_region_as_they_are() {
    let arn = "arn:aws:ssm:us-east-1:210987654321:parameter/shared/token";
    let (operation, body, _) = asked(arn);
    assert_eq!(
        (operation.as_str(), &body["Name"]),
        ("GetParameter", &arn.into())
    );
    let (_, body, _) = asked(&format!("{arn}?version=7"));
    assert_eq!(body["Name"], format!("{arn}:7"));
    let arn = "arn:aws:secretsmanager:eu-central-1:210987654321:secret:prod/db-AbCdEf";
    let (operation, body, heads) = asked(arn);
    assert_eq!(
        (operation.as_str(), &body["SecretId"]),
        ("GetSecretValue", &arn.into())
    );
    // the signature contains the region
    assert!(
        heads.contains("/eu-central-1/secretsmanager/aws4_request"),
        "{heads}"
    );
}

#[test]
fn versions_and_stages_are_asked_for_by_the_words_of_each_service() {
    let (_, body, _) = asked("ssm:/a?label=blue");
    assert_eq!(body["Name"], "/a:blue");
    let (_, body, _) = asked("sm:a?stage=AWSPREVIOUS");
    assert_eq!(
        (&body["VersionStage"], &body["VersionId"]),
        (&"AWSPREVIOUS".into(), &json!(null))
    );
    let (_, body, _) = asked("sm:a?version=EXAMPLE1-90ab-cdef");
    assert_eq!(
        (&body["VersionStage"], &body["VersionId"]),
        (&json!(null), &"EXAMPLE1-90ab-cdef".into())
    );
}

#[tokio::test]
async fn a_real_server_answers_arns_versions_stages_and_bytes() {
    let Some(moto) = Moto::start() else { return };
    let (ssm, sm) = moto.clients();
    for value in ["first", "second"] {
        let put = ssm.put_parameter().name("/p").value(value).overwrite(true);
        put.r#type(aws_sdk_ssm::types::ParameterType::SecureString)
            .send()
            .await
            .unwrap();
    }
    let found = ssm.get_parameter().name("/p").send().await.unwrap();
    let parameter = found.parameter.unwrap().arn.unwrap();
    let created = sm
        .create_secret()
        .name("rotated")
        .secret_string("{\"password\":\"old\"}");
    let old = created.send().await.unwrap();
    let put = sm.put_secret_value().secret_id("rotated");
    put.secret_string("{\"password\":\"new\"}")
        .send()
        .await
        .unwrap();
    let (secret, first) = (old.arn.unwrap(), old.version_id.unwrap());
    let keystore = [0_u8, 159, 146, 150, 255];
    let binary = sm
        .create_secret()
        .name("keystore")
        .secret_binary(Blob::new(keystore));
    binary.send().await.unwrap();

    let config = aws(&moto.url)
        .secret("p_first", "ssm:/p?version=1")
        .secret("p_arn", parameter)
        .secret("p_none", "ssm:/p?version=99")
        .secret("now", format!("{secret}#password"))
        .secret("before", "sm:rotated?stage=AWSPREVIOUS#password")
        .secret("by_id", format!("{secret}?version={first}#password"))
        .secret("no_stage", "sm:rotated?stage=NOSUCH")
        .secret("keystore", "sm:keystore")
        .secret("keystore_field", "sm:keystore#a");
    let secrets = Secrets::new(config).unwrap();
    secrets.warm_up().await;
    for (name, expected) in [
        ("p_first", "first"),
        ("p_arn", "second"),
        ("now", "new"),
        ("before", "old"),
        ("by_id", "old"),
    ] {
        assert_eq!(
            secrets.get(name).await.unwrap().expose(),
            expected,
            "{name}"
        );
    }
    for name in ["p_none", "no_stage"] {
        assert!(
            secrets.get(name).optional().await.unwrap().is_none(),
            "{name}"
        );
    }
    let bytes = secrets.get("keystore").bytes().await.unwrap();
    assert_eq!(
        (bytes.expose(), bytes.source()),
        (&keystore[..], SecretSource::AwsSecretsManager)
    );
    let error = secrets.get("keystore_field").await.unwrap_err();
    assert!(error.to_string().contains("binary, not JSON"), "{error:?}");
}

#[tokio::test]
async fn binary_secrets_are_returned_as_bytes_and_never_as_text() {
    let source = MemorySource::new();
    source.set_binary("k", [0_u8, 255, 254]);
    source.set("t", "text");
    let announced = std::sync::Arc::new(std::sync::Mutex::new(0));
    let count = std::sync::Arc::clone(&announced);
    let config = crate::config().catalog_text("").aws(AwsMode::On);
    let config = config.sources(&MemorySource::new(), &source);
    let config = config.secret("k", "sm:k").secret("t", "sm:t");
    let secrets = Secrets::new(config).unwrap();
    secrets.on_resolved_batch(move |batch| *count.lock().unwrap() += batch.len());
    for _ in 0..3 {
        let bytes = secrets.get("k").bytes().await.unwrap();
        assert_eq!(bytes.expose(), [0, 255, 254]);
        assert_eq!(secrets.get("k").bytes_blocking().unwrap(), bytes);
        assert_eq!(format!("{bytes:?}"), "[REDACTED]");
        let error = secrets.get("k").or("never").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains("use `bytes()`"), "{error}");
        assert!(secrets.get("k").blocking().is_err() && secrets.get("k").optional().await.is_err());
        assert!(secrets.get_as::<u8>("k").await.is_err());
        let source = secrets.get("k").source().await.unwrap();
        assert_eq!(source, SecretSource::AwsSecretsManager);
    }
    assert_eq!(*announced.lock().unwrap(), 0);
    assert_eq!(secrets.get("t").bytes().await.unwrap().expose(), b"text");
    secrets.validate().await.unwrap();
}

#[tokio::test]
async fn a_required_secret_may_be_bytes_and_a_watch_of_bytes_yields_them() {
    let (source, clock) = (MemorySource::new(), ManualClock::new());
    source.set_binary("k", [0_u8, 255, 254]);
    let config = crate::config().aws(AwsMode::On).clock(&clock);
    let config = config
        .sources(&MemorySource::new(), &source)
        .catalog_text("secrets: {k: {aws_path: 'sm:k', required: true}}");
    let secrets = Secrets::new(config).unwrap();
    let report = secrets.validate().await.unwrap();
    assert!(report.secrets[0].present);
    let mut watch = secrets.watch("k").every(std::time::Duration::ZERO);
    let mut next = || watch.changed_bytes_blocking(crate::SOON).unwrap();
    assert_eq!(next().expose(), [0, 255, 254]);
    source.set_binary("k", [1_u8, 255]);
    clock.advance(2 * ops_secrets::DEFAULT_TTL);
    assert_eq!(next().expose(), [1, 255]);
}
