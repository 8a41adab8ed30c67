//! An agent on this machine instead of AWS. The server responds as documented for the AWS Secrets
//! Manager Agent and the AWS Parameters and Secrets Lambda Extension: neither can be installed here.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use ops_secrets::{AwsMode, Config, ErrorKind, SecretSource, Secrets};

use crate::config;

const TOKEN: &str = "the-token-of-the-agent";

/// Requests as `path?query token`.
type Seen = Arc<Mutex<Vec<String>>>;

struct Agent {
    url: String,
    seen: Seen,
}

impl Agent {
    fn start(answer: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Seen::default();
        let (answer, noted) = (Arc::new(answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                std::thread::spawn(move || serve(client.unwrap(), &*answer, &noted));
            }
        });
        Self { url, seen }
    }

    fn secrets(&self, catalog: &str, token: &str) -> Secrets {
        Secrets::new(self.config(catalog).environment([("AWS_TOKEN", token)])).unwrap()
    }

    fn config(&self, catalog: &str) -> Config {
        config().catalog_text(catalog).aws_agent(&self.url)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    client: TcpStream,
    answer: &dyn Fn(&str) -> (u16, &'static str),
    seen: &Seen,
) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines();
    while let Some(Ok(first)) = lines.next() {
        let target = first.split(' ').nth(1)?.to_owned();
        let mut token = String::from("none");
        for line in lines.by_ref() {
            let line = line.ok()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("x-aws-parameters-secrets-token:") {
                value.trim().clone_into(&mut token);
            }
        }
        let (status, body) = match token.starts_with(TOKEN) {
            true => answer(&target),
            false => (403, "Bad Token"),
        };
        seen.lock().unwrap().push(format!("{target} {token}"));
        let length = body.len();
        let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\n\r\n");
        (&client).write_all((head + body).as_bytes()).ok()?;
    }
    None
}

#[test]
fn secrets_and_parameters_are_asked_for_by_name_version_and_stage() {
    let agent = Agent::start(|target| match target {
        "/secretsmanager/get?secretId=db%2Flogin" => (
            200,
            r#"{"ARN":"a","Name":"db/login","SecretString":"{\"user\":\"me\",\"password\":\"p w\"}"}"#,
        ),
        "/secretsmanager/get?secretId=old&versionStage=AWSPREVIOUS" => {
            (200, r#"{"Name":"old","SecretString":"before"}"#)
        }
        "/secretsmanager/get?secretId=pinned&versionId=v%2D1" => {
            (200, r#"{"Name":"pinned","SecretString":"first"}"#)
        }
        "/secretsmanager/get?secretId=keys" => (200, r#"{"Name":"keys","SecretBinary":"AAH/"}"#),
        "/systemsmanager/parameters/get?name=%2Fapi%2Fkey&withDecryption=true" => (
            200,
            r#"{"Parameter":{"Name":"/api/key","Value":"k"},"ResultMetadata":{}}"#,
        ),
        "/systemsmanager/parameters/get?name=%2Fapi%2Fkey&withDecryption=true&version=3" => {
            (200, r#"{"Parameter":{"Name":"/api/key","Value":"third"}}"#)
        }
        _ => (404, "Not Found"),
    });
    let secrets = agent.secrets(
        "secrets:
  password: {aws_path: 'sm:db/login#password'}
  old: {aws_path: 'sm:old?stage=AWSPREVIOUS'}
  pinned: {aws_path: 'sm:pinned?version=v-1'}
  keys: {aws_path: 'sm:keys'}
  key: {aws_path: /api/key}
  third: {aws_path: 'ssm:/api/key?version=3'}
",
        TOKEN,
    );
    let text = |name: &str| secrets.get(name).blocking().unwrap().expose().to_owned();
    assert_eq!(text("password"), "p w");
    assert_eq!(text("old"), "before");
    assert_eq!(text("pinned"), "first");
    assert_eq!(text("key"), "k");
    assert_eq!(text("third"), "third");
    let keys = secrets.get("keys").bytes_blocking().unwrap();
    assert_eq!(keys.expose(), [0, 1, 255]);
    let key = secrets.get("key").blocking().unwrap();
    assert_eq!(key.source(), SecretSource::AwsSsm);
    let seen = agent.seen();
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(seen.iter().all(|line| line.ends_with(TOKEN)), "{seen:?}");
    assert!(secrets.report().aws.contains("the agent at"));
}

#[test]
fn a_token_file_is_read_for_each_request() {
    let agent = Agent::start(|_| (200, r#"{"SecretString":"v"}"#));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}-1\n")).unwrap();
    let token = format!("file://{}", file.path().display());
    let secrets = agent.secrets(
        "secrets: {a: {aws_path: 'sm:a'}, b: {aws_path: 'sm:b'}}",
        &token,
    );
    secrets.get("a").blocking().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}-2\n")).unwrap();
    secrets.get("b").blocking().unwrap();
    let seen = agent.seen();
    assert!(seen[0].ends_with("-1"), "{seen:?}");
    assert!(seen[1].ends_with("-2"), "{seen:?}");
    std::fs::remove_file(file.path()).unwrap();
    let error = secrets
        .get("a")
        .ttl(std::time::Duration::ZERO)
        .blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("AWS_TOKEN"), "{error}");
}

#[test]
fn what_is_absent_goes_on_to_the_default_and_what_is_refused_is_an_error_of_its_kind() {
    let agent = Agent::start(|target| match target.rsplit('=').next() {
        Some("gone") => (
            400,
            r#"{"__type":"ResourceNotFoundException","message":"Secrets Manager can't find the specified secret."}"#,
        ),
        Some("deleted") => (
            400,
            r#"{"__type":"com.amazonaws#InvalidRequestException","Message":"the secret was marked for deletion"}"#,
        ),
        Some("denied") => (
            400,
            r#"{"code":"AccessDeniedException","message":"not authorized"}"#,
        ),
        Some("slow") => (400, "ThrottlingException: Rate exceeded"),
        Some("starting") => (400, "not ready to serve traffic, please wait"),
        Some("broken") => (500, "an unexpected error occurred"),
        Some("foreign") => (200, r#"{"SecretString": 17, "note": "hunter2-hunter2"}"#),
        Some("empty") => (200, r#"{"Name":"empty"}"#),
        _ => (404, "Not Found"),
    });
    let names = [
        "gone", "deleted", "denied", "slow", "starting", "broken", "foreign", "empty",
    ];
    let lines = names.map(|name| format!("  {name}: {{aws_path: 'sm:{name}'}}\n"));
    let catalog = format!("secrets:\n{}  both: {{aws_path: /both}}\n", lines.concat());
    let secrets = agent.secrets(&catalog, TOKEN);
    for name in ["gone", "deleted"] {
        let secret = secrets.get(name).or("local").blocking().unwrap();
        assert_eq!(secret.source(), SecretSource::Default, "{name}");
    }
    for (name, kind, part) in [
        ("denied", ErrorKind::AccessDenied, "not authorized"),
        ("slow", ErrorKind::Throttled, "Rate exceeded"),
        ("broken", ErrorKind::Transient, "HTTP 500"),
        ("foreign", ErrorKind::Malformed, "cannot parse the response"),
        ("empty", ErrorKind::Malformed, "neither text nor bytes"),
        ("both", ErrorKind::Config, "with `sm:`"),
        ("starting", ErrorKind::Unavailable, "not ready"),
    ] {
        let error = secrets.get(name).or("local").blocking().unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        let reported = format!("{error} {error:?}");
        assert!(reported.contains(part), "{reported}");
        assert!(
            !reported.contains("hunter2") && !reported.contains(TOKEN),
            "{reported}"
        );
    }
}

#[test]
fn a_token_that_is_wrong_or_missing_is_an_error() {
    let agent = Agent::start(|_| (200, r#"{"SecretString":"v"}"#));
    let catalog = "secrets: {a: {aws_path: 'sm:a'}}";
    let nobody = Secrets::new(agent.config(catalog)).unwrap();
    for secrets in [agent.secrets(catalog, "another-token"), nobody] {
        let error = secrets.get("a").or("local").blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
        assert!(error.to_string().contains("Bad Token"), "{error}");
        assert!(!error.to_string().contains("another-token"), "{error}");
    }
}

#[test]
fn an_agent_that_is_named_and_not_there_is_an_error_in_either_mode_and_is_not_asked_when_switched_off()
 {
    let url = "http://127.0.0.1:1"; // a port that only root may listen at
    let of = |mode| {
        let config = config().catalog_text("secrets: {a: {aws_path: 'sm:a'}}");
        Secrets::new(config.aws_agent(url).aws(mode)).unwrap()
    };
    for mode in [AwsMode::Auto, AwsMode::On] {
        let error = of(mode).get("a").or("local").blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    let off = of(AwsMode::Off).get("a").or("local").blocking().unwrap();
    assert_eq!(off.source(), SecretSource::Default);
}

#[test]
fn an_address_that_is_not_of_this_machine_is_refused_with_what_is_accepted() {
    for accepted in [
        "http://localhost:2773",
        "http://127.0.0.2:1",
        "http://[::1]:2773",
    ] {
        assert!(
            Secrets::new(config().aws_agent(accepted)).is_ok(),
            "{accepted}"
        );
    }
    for refused in [
        "",
        "localhost:2773",
        "http://localhost",
        "http://localhost:0",
        "http://localhost:99999",
        "http://localhost:+2773",
        "http://::1:2773",
        "http://[127.0.0.1]:2773",
        "http://10.0.0.1:2773",
        "http://agent.internal:2773",
        "https://localhost:2773",
        "http://me@localhost:2773",
        "http://localhost:2773/",
        "http://localhost:2773/v1",
    ] {
        let error = Secrets::new(config().aws_agent(refused)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        for part in ["http://localhost:2773", "OPS_SECRETS_AWS_AGENT"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
