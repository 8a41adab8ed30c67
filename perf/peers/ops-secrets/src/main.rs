//! Compares a warm read of the same secret from the same server with AWS's own caching client:
//! `cargo run --release --manifest-path perf/peers/Cargo.toml -p ops-secrets-peers [-- --check]`.


use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_secretsmanager_caching::SecretsManagerCachingClient;
use ops_secrets::{AwsMode, Config, Secrets};

const ID: &str = "kearney-platform/prod/registry_api_key";
const VALUE: &str = "kearney-registry-key-prod";
const CATALOG: &str = "secrets:
  registry_api_key: {env_var: REGISTRY_API_KEY, aws_path: /kearney-platform/prod/registry_api_key}
";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        std::process::exit(again_with_credentials()?);
    }
    let moto = Moto::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let theirs = runtime.block_on(theirs(&moto.url))?;
    let ours = ours(&moto.url)?;

    let read_ours = || {
        black_box(ready(async {
            ours.get(black_box("registry_api_key")).await.ok()
        }))
    };
    let read_theirs = || {
        black_box(ready(async {
            theirs
                .get_secret_value(black_box(ID), None, None, false)
                .await
                .ok()
        }))
    };
    runtime.block_on(async {
        ours.get("registry_api_key").await.map(drop)?;
        theirs
            .get_secret_value(ID, None, None, false)
            .await
            .map(drop)
    })?;
    assert_eq!(
        read_ours().map(|secret| secret.expose() == VALUE),
        Some(true)
    );
    assert_eq!(
        read_theirs()
            .and_then(|secret| secret.secret_string)
            .as_deref(),
        Some(VALUE)
    );

    let mut ratios = dev::ratio::Ratios::from_args();
    let peer = "aws_secretsmanager_caching";
    ratios.at_most(
        "warm read",
        1.0 / 3.0,
        || drop(read_ours()),
        (peer, || drop(read_theirs())),
    );
    let blocking = || {
        drop(black_box(
            ours.get(black_box("registry_api_key")).blocking(),
        ))
    };
    ratios.at_most(
        "warm read, blocking",
        1.0 / 3.0,
        blocking,
        (peer, || drop(read_theirs())),
    );
    ratios.finish();
    Ok(())
}

/// Restarts this process with the variables, since a process cannot set its own variables safely.
fn again_with_credentials() -> Result<i32, Box<dyn Error>> {
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1));
    again.envs([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]);
    Ok(again.status()?.code().unwrap_or(1))
}

/// Polls once: both have the value cached, so no runtime is measured.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a warm read does not wait"),
    }
}

fn ours(url: &str) -> Result<Secrets, Box<dyn Error>> {
    let config = Config::default()
        .catalog_text(CATALOG)
        .dotenv("/nonexistent/.env")
        .ttl(DAY);
    let config = config
        .aws(AwsMode::On)
        .region("us-east-1")
        .endpoint_url(url);
    Ok(Secrets::new(config)?)
}

/// Returns the AWS client, after creating the secret.
async fn theirs(url: &str) -> Result<SecretsManagerCachingClient, Box<dyn Error>> {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = || {
        Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials.clone())
    };
    let client = aws_sdk_secretsmanager::Client::from_conf(config().build());
    client
        .create_secret()
        .name(ID)
        .secret_string(VALUE)
        .send()
        .await?;
    let size = NonZeroUsize::new(1000).ok_or("a size")?;
    Ok(SecretsManagerCachingClient::from_builder(config(), size, DAY, false).await?)
}

struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    fn start() -> Result<Self, Box<dyn Error>> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let tools = target.map_or_else(
            || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../.tools").into(),
            |target| target.join("tools"),
        );
        let program = tools.join("python/bin/moto_server");
        let mut command = Command::new(&program);
        command
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            format!(
                "{}: {error}; `cargo xtask setup` installs it",
                program.display()
            )
        })?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let address = |line: std::io::Result<String>| {
            Some(line.ok()?.split_once("Running on ")?.1.trim().to_owned())
        };
        let url = lines.find_map(address);
        std::thread::spawn(move || lines.for_each(drop));
        let moto = Self {
            child,
            url: url.clone().unwrap_or_default(),
        };
        url.map(|_| moto)
            .ok_or_else(|| "moto printed no address".into())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
