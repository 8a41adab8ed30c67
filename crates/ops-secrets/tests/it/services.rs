//! Both services over their real wire format, with and without failures.

use std::time::{Duration, Instant};

use ops_secrets::testing::ManualClock;
use ops_secrets::{AwsMode, ErrorKind, SecretSource, Secrets};

use crate::SOON;
use crate::moto::{Moto, aws};
use crate::proxy::{Fault, Proxy, Rule};

const TOKEN: &str = "/kearney-platform/prod/mapbox_token";

fn rule(operation: &'static str, text: &'static str, fault: Fault) -> Rule {
    Rule {
        operation,
        text,
        fault,
    }
}

fn denied() -> Fault {
    Fault::Error(400, "AccessDeniedException", "no")
}

/// Creates `count` parameters `p0`, `p1` and as many secrets `s0`, `s1`.
fn bulk(count: usize) -> String {
    let lines = (0..count).map(|n| {
        format!("  p{n}: {{aws_path: /bulk/p{n}}}\n  s{n}: {{aws_path: 'sm:bulk/s{n}'}}\n")
    });
    format!("secrets:\n{}", lines.collect::<String>())
}

#[test]
fn identity_is_none_without_aws_and_fails_if_sts_is_unreachable() {
    let off = Secrets::new(crate::config().aws(AwsMode::Off)).unwrap();
    assert_eq!(off.aws_identity_blocking().unwrap(), None);
    // nothing listens at the other end of a connection, as long as it lasts
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let closed = format!("http://{}", held.local_addr().unwrap());
    let gone = Secrets::new(aws(&closed)).unwrap();
    let error = gone.aws_identity_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error
            .to_string()
            .contains("cannot get the caller identity from AWS"),
        "{error}"
    );
}

#[tokio::test]
async fn the_overviews_two_command_lines_resolve_and_so_do_bulk_and_odd_ones() {
    let Some(moto) = Moto::start() else { return };
    moto.fill(25).await;

    let secrets = Secrets::new(aws(&moto.url)).unwrap();
    let token = secrets.get("mapbox_token").await.unwrap();
    assert_eq!(
        (token.expose(), token.source()),
        ("pk.ey...", SecretSource::AwsSsm)
    );
    let key = secrets.get("REGISTRY_API_KEY").await.unwrap();
    let expected = ("kearney-registry-key-prod", SecretSource::AwsSecretsManager);
    assert_eq!((key.expose(), key.source()), expected);

    let arn = secrets.aws_identity_blocking().unwrap().unwrap();
    assert!(arn.starts_with("arn:aws:sts::123456789012:"), "{arn}");

    let catalog = "secrets: {gone: {aws_path: 'sm:gone'}, none: {aws_path: /none}, binary: {aws_path: 'sm:binary'}}";
    let odd = Secrets::new(aws(&moto.url).catalog_text(catalog)).unwrap();
    assert!(odd.get("gone").optional().await.unwrap().is_none());
    assert!(odd.get("none").optional().await.unwrap().is_none());
    assert_eq!(
        odd.get("binary").await.unwrap_err().kind(),
        ErrorKind::Malformed
    );

    let lines = (0..25)
        .map(|n| format!("  p{n}: {{aws_path: /bulk/p{n}}}\n  s{n}: {{aws_path: /bulk/s{n}}}\n"));
    let catalog = format!("secrets:\n{}", lines.collect::<String>());
    let proxy = Proxy::new(Some(&moto.url), Vec::new());
    let bulk = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
    let report = bulk.validate().await.unwrap();
    let from = |source| {
        report
            .secrets
            .iter()
            .filter(|secret| secret.source == source)
            .count()
    };
    assert_eq!(from(SecretSource::AwsSsm), 25);
    assert_eq!(from(SecretSource::AwsSecretsManager), 25);
    assert_eq!(bulk.get("s24").await.unwrap().expose(), "secret-24");
    assert_eq!(report.aws_requests, 2, "one round for each service");
    // 50 names at Parameter Store in tens, the 25 absent ones at Secrets Manager in twenties
    assert_eq!(proxy.count("GetParameters"), 5, "{:?}", proxy.seen());
    assert_eq!(proxy.count("BatchGetSecretValue"), 2, "{:?}", proxy.seen());
    assert_eq!(proxy.seen().len(), 7);
}

#[tokio::test]
async fn a_failure_affects_only_the_names_that_failed() {
    let Some(moto) = Moto::start() else { return };
    moto.fill(10).await;
    let url = moto.url.as_str();
    one_denied_name_is_split_out_of_its_bulk(url).await;
    a_policy_without_the_bulk_call_is_asked_one_by_one(url).await;
    a_service_that_hangs_does_not_cost_the_answers_of_the_other(url).await;
    an_outage_is_bridged_and_a_denial_is_not(url).await;
    an_error_at_parameter_store_is_not_passed_on_to_secrets_manager(url).await;
    a_slow_answer_in_time_is_an_answer(url).await;
}

async fn one_denied_name_is_split_out_of_its_bulk(moto: &str) {
    let rules = vec![
        rule("GetParameters", "/bulk/p3\"", denied()),
        rule("GetParameter", "/bulk/p3\"", denied()),
        rule("BatchGetSecretValue", "bulk/s4\"", denied()),
        rule("GetSecretValue", "bulk/s4\"", denied()),
    ];
    let proxy = Proxy::new(Some(moto), rules);
    let secrets = Secrets::new(aws(&proxy.url).catalog_text(bulk(10))).unwrap();
    secrets.warm_up().await;
    for n in 0..10 {
        let (parameter, secret) = (format!("p{n}"), format!("s{n}"));
        for (name, is_denied) in [(parameter, n == 3), (secret, n == 4)] {
            let asked = secrets.get(&name).or("never").await;
            let kind = asked.err().map(|error| error.kind());
            assert_eq!(kind, is_denied.then_some(ErrorKind::AccessDenied), "{name}");
        }
    }
    // ten, four, the other six if one of the four is denied, then two, and the rest one by one
    assert!(
        (proxy.count("GetParameters"), proxy.count("GetParameter")) <= (5, 3),
        "{:?}",
        proxy.seen()
    );
    assert!(
        (
            proxy.count("BatchGetSecretValue"),
            proxy.count("GetSecretValue")
        ) <= (5, 3),
        "{:?}",
        proxy.seen()
    );
}

async fn a_policy_without_the_bulk_call_is_asked_one_by_one(moto: &str) {
    let rules = vec![
        rule("GetParameters", "", denied()),
        rule("BatchGetSecretValue", "", denied()),
    ];
    let proxy = Proxy::new(Some(moto), rules);
    let secrets = Secrets::new(aws(&proxy.url).catalog_text(bulk(10))).unwrap();
    let report = secrets.validate().await.unwrap();
    assert!(
        report.secrets.iter().all(|secret| secret.present),
        "{report}"
    );
}

async fn a_service_that_hangs_does_not_cost_the_answers_of_the_other(moto: &str) {
    let rules = vec![
        rule("BatchGetSecretValue", "", Fault::Held),
        rule("GetSecretValue", "", Fault::Held),
    ];
    let proxy = Proxy::new(Some(moto), rules);
    let deadline = Duration::from_secs(5);
    let config = aws(&proxy.url).catalog_text(bulk(2)).deadline(deadline);
    let secrets = Secrets::new(config).unwrap();
    let start = Instant::now();
    secrets.warm_up().await;
    assert!(start.elapsed() < 5 * deadline, "{:?}", start.elapsed());
    assert_eq!(secrets.get("p1").await.unwrap().expose(), "parameter-1");
    let error = secrets.get("s1").or("never").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error.to_string().contains("bulk/s1: no response"),
        "{error}"
    );
    proxy.release();
}

async fn an_outage_is_bridged_and_a_denial_is_not(moto: &str) {
    let proxy = Proxy::new(Some(moto), Vec::new());
    let clock = ManualClock::new();
    let config = aws(&proxy.url).clock(&clock);
    // a throttled request is repeated until then
    let secrets = Secrets::new(config.deadline(Duration::from_secs(5))).unwrap();
    let get = || async { secrets.get("mapbox_token").or("never").await };
    assert_eq!(get().await.unwrap().expose(), "pk.ey...");
    for code in ["InternalServerError", "ThrottlingException"] {
        let status = if code == "ThrottlingException" {
            400
        } else {
            500
        };
        proxy.set(vec![rule(
            "GetParameter",
            "",
            Fault::Error(status, code, "later"),
        )]);
        clock.advance(Duration::from_secs(400));
        assert_eq!(get().await.unwrap().expose(), "pk.ey...", "{code}");
        let report = secrets.report();
        let detail = report.secrets[0].last_error_detail.clone().unwrap();
        assert!(detail.contains(code), "{detail}");
    }
    assert_eq!(secrets.stats().stale_served, 2);
    proxy.set(vec![rule("GetParameter", "", denied())]);
    clock.advance(Duration::from_secs(400));
    assert_eq!(get().await.unwrap_err().kind(), ErrorKind::AccessDenied);
    proxy.set(Vec::new());
    clock.advance(Duration::from_secs(60));
    assert_eq!(get().await.unwrap().expose(), "pk.ey...");
}

async fn an_error_at_parameter_store_is_not_passed_on_to_secrets_manager(moto: &str) {
    let proxy = Proxy::new(Some(moto), vec![rule("GetParameter", "", denied())]);
    let secrets = Secrets::new(aws(&proxy.url)).unwrap();
    let error = secrets.get("registry_api_key").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert!(
        error
            .to_string()
            .contains("does not exist or access to it is denied"),
        "{error}"
    );
    assert_eq!(proxy.seen(), ["GetParameter"]);
}

async fn a_slow_answer_in_time_is_an_answer(moto: &str) {
    let proxy = Proxy::new(Some(moto), vec![rule("GetParameter", "", Fault::Held)]);
    let secrets = Secrets::new(aws(&proxy.url)).unwrap();
    let asked = tokio::spawn({
        let secrets = secrets.clone();
        async move { secrets.get("mapbox_token").await }
    });
    while proxy.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    proxy.release();
    assert_eq!(asked.await.unwrap().unwrap().expose(), "pk.ey...");
}

#[test]
fn each_error_of_the_services_gets_its_class_at_either_service() {
    use ErrorKind::{AccessDenied, Config, Decrypt, Throttled, Transient, Unauthenticated};
    let rows = [
        (400, "AccessDeniedException", AccessDenied),
        (400, "KMSAccessDeniedException", AccessDenied),
        (403, "SomethingNew", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (400, "TooManyRequestsException", Throttled),
        (400, "RequestLimitExceeded", Throttled),
        (400, "SlowDown", Throttled),
        (429, "SomethingNew", Throttled),
        (400, "ExpiredToken", Unauthenticated),
        (400, "ExpiredTokenException", Unauthenticated),
        (400, "UnrecognizedClientException", Unauthenticated),
        (403, "InvalidClientTokenId", Unauthenticated),
        (403, "InvalidSignatureException", Unauthenticated),
        (400, "InvalidKeyId", Decrypt),
        (400, "DecryptionFailure", Decrypt),
        (400, "KMSDisabledException", Decrypt),
        (400, "ValidationException", Config),
        (400, "RequestTimeoutException", Transient),
        (500, "InternalServerError", Transient),
        (500, "InternalServiceError", Transient),
        (503, "SomethingNew", Transient),
    ];
    let scenarios = rows.iter().flat_map(|row| [(row, "ssm:/a"), (row, "sm:a")]);
    std::thread::scope(|scope| {
        for ((status, code, kind), path) in scenarios {
            scope.spawn(move || {
                let proxy = Proxy::always(Fault::Error(*status, code, "injected"));
                let catalog = format!("secrets: {{a: {{aws_path: '{path}', default: never}}}}");
                let ask = |deadline| {
                    let config = aws(&proxy.url).deadline(deadline);
                    let secrets = Secrets::new(config.catalog_text(catalog.clone())).unwrap();
                    secrets.get("a").or("never").blocking().unwrap_err()
                };
                // a throttled request is repeated until then
                let mut deadline = match *kind {
                    Throttled => Duration::from_secs(1),
                    _ => SOON,
                };
                let mut error = ask(deadline);
                // a busy machine may have no response by then
                while !error.to_string().contains(code) && deadline < SOON {
                    deadline *= 2;
                    error = ask(deadline);
                }
                assert_eq!(error.kind(), *kind, "{error}");
                assert!(error.to_string().contains(code), "{error}");
                assert!(!error.to_string().contains("never"), "{error}");
            });
        }
    });
}

#[test]
fn every_not_found_response_counts_as_absent() {
    let rows = [
        ("ssm:/a", "ParameterNotFound", ""),
        ("ssm:/a", "ParameterVersionNotFound", ""),
        ("sm:a", "ResourceNotFoundException", ""),
        (
            "sm:a",
            "InvalidRequestException",
            "it was marked for deletion.",
        ),
    ];
    for (path, code, message) in rows {
        let proxy = Proxy::always(Fault::Error(400, code, message));
        let catalog = format!("secrets: {{a: {{aws_path: '{path}'}}}}");
        let secrets = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
        let secret = secrets.get("a").or("in its place").blocking().unwrap();
        assert_eq!(secret.source(), SecretSource::Default, "{code}");
    }
}

#[test]
fn refused_credentials_are_passed_over_in_automatic_mode_alone() {
    let expired = || Proxy::always(Fault::Error(400, "ExpiredTokenException", "expired"));
    for (mode, passes) in [(AwsMode::Auto, true), (AwsMode::On, false)] {
        let proxy = expired();
        let secrets = Secrets::new(aws(&proxy.url).aws(mode)).unwrap();
        let asked = secrets.get("mapbox_token").or("local").blocking();
        assert_eq!(asked.is_ok(), passes, "{asked:?}");
    }
}

#[test]
fn an_unreadable_response_is_transient() {
    for fault in [
        Fault::Body("<html>".into()),
        Fault::Error(502, "", "bad gateway"),
    ] {
        let proxy = Proxy::always(fault.clone());
        let secrets = Secrets::new(aws(&proxy.url)).unwrap();
        let error = secrets
            .get("mapbox_token")
            .or("never")
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{fault:?}: {error}");
    }
}

#[test]
fn a_broken_connection_is_a_transient_error_in_both_modes() {
    for mode in [AwsMode::Auto, AwsMode::On] {
        let proxy = Proxy::always(Fault::HangUp);
        let secrets = Secrets::new(aws(&proxy.url).aws(mode)).unwrap();
        let error = secrets
            .get("mapbox_token")
            .or("never")
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    }
}

#[test]
fn pages_are_read_to_the_last_even_when_one_is_empty() {
    let value =
        |name: &str| format!("{{\"Name\":\"bulk/{name}\",\"SecretString\":\"{name}-text\"}}");
    let page = |values: String, next: &str| {
        Fault::Body(format!(
            "{{\"SecretValues\":[{values}],\"Errors\":[]{next}}}"
        ))
    };
    let rules = vec![
        rule("BatchGetSecretValue", "third", page(value("s1"), "")),
        rule(
            "BatchGetSecretValue",
            "second",
            page(String::new(), ",\"NextToken\":\"third\""),
        ),
        rule(
            "BatchGetSecretValue",
            "",
            page(value("s0"), ",\"NextToken\":\"second\""),
        ),
    ];
    let catalog = "secrets: {s0: {aws_path: 'sm:bulk/s0'}, s1: {aws_path: 'sm:bulk/s1'}}";
    let proxy = Proxy::new(None, rules);
    let secrets = Secrets::new(aws(&proxy.url).catalog_text(catalog)).unwrap();
    secrets.warm_up_blocking();
    for name in ["s0", "s1"] {
        let secret = secrets.get(name).blocking().unwrap();
        assert_eq!(secret.expose(), format!("{name}-text"));
    }
    assert_eq!(proxy.count("BatchGetSecretValue"), 3);
}

#[test]
fn an_error_for_one_secret_in_a_bulk_affects_no_other() {
    let body = "{\"SecretValues\":[{\"Name\":\"bulk/s0\",\"SecretString\":\"text\"}],\"Errors\":[{\"SecretId\":\"bulk/s1\",\"ErrorCode\":\"DecryptionFailure\",\"Message\":\"no key\"}]}";
    let rules = vec![
        rule("BatchGetSecretValue", "", Fault::Body(body.into())),
        rule("GetParameters", "", Fault::Body("{}".into())),
    ];
    let proxy = Proxy::new(None, rules);
    let secrets = Secrets::new(aws(&proxy.url).catalog_text(bulk(2))).unwrap();
    secrets.warm_up_blocking();
    assert_eq!(secrets.get("s0").blocking().unwrap().expose(), "text");
    let error = secrets.get("s1").or("never").blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decrypt);
}

#[test]
fn a_service_that_accepts_and_never_answers_costs_no_more_than_the_deadline() {
    let proxy = Proxy::always(Fault::Held);
    let deadline = Duration::from_millis(300);
    crate::assert_within(10 * deadline, || {
        let secrets = Secrets::new(aws(&proxy.url).deadline(deadline)).unwrap();
        let start = Instant::now();
        let error = secrets
            .get("mapbox_token")
            .or("never")
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert!(error.to_string().contains(TOKEN), "{error}");
        start.elapsed()
    });
}
