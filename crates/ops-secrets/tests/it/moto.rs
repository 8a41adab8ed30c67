//! Against moto's server: the real wire format of both services.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ssm::types::ParameterType;
use ops_secrets::{AwsMode, Config, ErrorKind, SecretSource, Secrets};

use crate::config;

struct Moto {
    child: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// `None`, told in one line, where moto is not installed; a failure where it has to be.
    fn start() -> Option<Self> {
        let program = program();
        if !program.is_file() {
            let told = format!(
                "skipped: no {}; `cargo xtask setup` installs it",
                program.display()
            );
            assert!(
                std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_none_or(|on| on != "1"),
                "{told}"
            );
            println!("{told}");
            return None;
        }
        let mut command = Command::new(program);
        command
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url =
            lines.find_map(|line| Some(line.ok()?.split_once("Running on ")?.1.trim().to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child,
            url: url.expect("moto tells its address"),
        })
    }

    /// The overview's two command lines, and some more.
    async fn fill(&self, many: usize) {
        let credentials = || Credentials::new("test", "test", None, None, "test");
        let ssm = aws_sdk_ssm::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.url);
        let ssm = ssm
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials())
            .build();
        let ssm = aws_sdk_ssm::Client::from_conf(ssm);
        let sm =
            aws_sdk_secretsmanager::Config::builder().behavior_version(BehaviorVersion::latest());
        let sm = sm
            .endpoint_url(&self.url)
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials())
            .build();
        let sm = aws_sdk_secretsmanager::Client::from_conf(sm);
        let put = ssm
            .put_parameter()
            .name("/kearney-platform/prod/mapbox_token")
            .value("pk.ey...");
        put.r#type(ParameterType::SecureString)
            .send()
            .await
            .unwrap();
        let create = sm
            .create_secret()
            .name("kearney-platform/prod/registry_api_key");
        create
            .secret_string("kearney-registry-key-prod")
            .send()
            .await
            .unwrap();
        let binary = sm
            .create_secret()
            .name("binary")
            .secret_binary(aws_sdk_secretsmanager::primitives::Blob::new([0_u8]));
        binary.send().await.unwrap();
        let gone = sm
            .create_secret()
            .name("gone")
            .secret_string("deleted")
            .send()
            .await
            .unwrap();
        sm.delete_secret()
            .secret_id(gone.arn().unwrap())
            .send()
            .await
            .unwrap();
        for n in 0..many {
            let put = ssm
                .put_parameter()
                .name(format!("/bulk/p{n}"))
                .value(format!("parameter-{n}"));
            put.r#type(ParameterType::SecureString)
                .send()
                .await
                .unwrap();
            sm.create_secret()
                .name(format!("bulk/s{n}"))
                .secret_string(format!("secret-{n}"))
                .send()
                .await
                .unwrap();
        }
    }
}

fn program() -> PathBuf {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools");
    let tools =
        std::env::var_os("CARGO_TARGET_DIR").map(|target| PathBuf::from(target).join("tools"));
    tools
        .unwrap_or_else(|| workspace.into())
        .join("python/bin/moto_server")
}

fn aws(url: &str) -> Config {
    let keys = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ];
    config()
        .environment(keys)
        .aws(AwsMode::On)
        .endpoint_url(url)
}

#[tokio::test]
async fn both_services_answer_single_and_bulk_questions() {
    let Some(moto) = Moto::start() else { return };
    moto.fill(25).await;

    let secrets = Secrets::new(aws(&moto.url)).unwrap();
    let token = secrets.get("mapbox_token").await.unwrap();
    assert_eq!(
        (token.expose(), token.source()),
        ("pk.ey...", SecretSource::AwsSsm)
    );
    let key = secrets.get("REGISTRY_API_KEY").await.unwrap();
    assert_eq!(
        (key.expose(), key.source()),
        ("kearney-registry-key-prod", SecretSource::AwsSecretsManager)
    );

    let catalogue = "secrets: {gone: {aws_path: 'sm:gone'}, none: {aws_path: /none}, binary: {aws_path: 'sm:binary'}}";
    let odd = Secrets::new(aws(&moto.url).catalogue_text(catalogue)).unwrap();
    assert!(odd.get("gone").optional().await.unwrap().is_none());
    assert!(odd.get("none").optional().await.unwrap().is_none());
    assert_eq!(
        odd.get("binary").await.unwrap_err().kind(),
        ErrorKind::Malformed
    );

    let lines = (0..25)
        .map(|n| format!("  p{n}: {{aws_path: /bulk/p{n}}}\n  s{n}: {{aws_path: /bulk/s{n}}}\n"));
    let bulk = Secrets::new(
        aws(&moto.url).catalogue_text(format!("secrets:\n{}", lines.collect::<String>())),
    )
    .unwrap();
    let report = bulk.validate().await.unwrap();
    assert_eq!(
        report
            .secrets
            .iter()
            .filter(|secret| secret.source == SecretSource::AwsSsm)
            .count(),
        25
    );
    assert_eq!(
        report
            .secrets
            .iter()
            .filter(|secret| secret.source == SecretSource::AwsSecretsManager)
            .count(),
        25
    );
    assert_eq!(bulk.get("s24").await.unwrap().expose(), "secret-24");
    assert_eq!(report.aws_requests, 2, "one round for each service");
}

/// Answers every request of the SDK with one status and one error code.
fn failing_service(status: u16, code: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = format!("{{\"__type\":\"{code}\",\"message\":\"injected\"}}");
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}",
        body.len()
    );
    let answer = format!("{head}\r\nconnection: close\r\n\r\n{body}");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer_one(stream, &answer);
        }
    });
    url
}

fn answer_one(mut stream: TcpStream, answer: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let _ = std::io::copy(&mut reader.take(length), &mut std::io::sink());
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn each_error_of_the_services_gets_its_class() {
    let rows = [
        (400, "AccessDeniedException", ErrorKind::AccessDenied),
        (400, "ThrottlingException", ErrorKind::Throttled),
        (400, "RequestLimitExceeded", ErrorKind::Throttled),
        (400, "ExpiredTokenException", ErrorKind::Unauthenticated),
        (
            400,
            "UnrecognizedClientException",
            ErrorKind::Unauthenticated,
        ),
        (400, "InvalidSignatureException", ErrorKind::Unauthenticated),
        (400, "InvalidKeyId", ErrorKind::Decrypt),
        (500, "InternalServerError", ErrorKind::Transient),
        (503, "SomethingNew", ErrorKind::Transient),
        (403, "SomethingNew", ErrorKind::AccessDenied),
    ];
    std::thread::scope(|scope| {
        for (status, code, kind) in rows {
            scope.spawn(move || {
                let secrets = Secrets::new(aws(&failing_service(status, code))).unwrap();
                let error = secrets
                    .get("mapbox_token")
                    .or("never")
                    .blocking()
                    .unwrap_err();
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.to_string().contains(code), "{error}");
            });
        }
    });
}

#[test]
fn a_service_that_accepts_and_never_answers_costs_no_more_than_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let deadline = std::time::Duration::from_millis(300);
    let secrets = Secrets::new(aws(&url).deadline(deadline)).unwrap();
    let start = std::time::Instant::now();
    let error = secrets
        .get("mapbox_token")
        .or("never")
        .blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(start.elapsed() < 10 * deadline, "{:?}", start.elapsed());
}
