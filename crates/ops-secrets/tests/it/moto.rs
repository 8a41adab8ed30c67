//! A real server with the wire formats of both services, filled by the overview's command lines.

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ssm::types::ParameterType;
use dev::moto::Moto as Server;
use ops_secrets::{AwsMode, Config};

use crate::{SOON, config};

/// Server of a test, whose secrets are its own.
pub(crate) struct Moto {
    _server: Server,
    pub(crate) url: String,
}

impl Moto {
    pub(crate) fn start() -> Option<Self> {
        let server = Server::start()?;
        Some(Self {
            url: server.url.clone(),
            _server: server,
        })
    }

    /// Creates the secrets of the overview's two command lines, `many` of each kind, and some unusual ones.
    pub(crate) async fn fill(&self, many: usize) {
        let (ssm, sm) = self.clients();
        for command in overview_commands() {
            let option = |name: &str| value_of(&command, name);
            if command.starts_with("aws ssm put-parameter") {
                let put = ssm
                    .put_parameter()
                    .name(option("--name"))
                    .value(option("--value"));
                let kind = ParameterType::from(option("--type").as_str());
                put.r#type(kind).send().await.unwrap();
            } else {
                let create = sm.create_secret().name(option("--name"));
                let create = create.secret_string(option("--secret-string"));
                create.send().await.unwrap();
            }
        }
        let blob = aws_sdk_secretsmanager::primitives::Blob::new([0_u8]);
        let binary = sm.create_secret().name("binary").secret_binary(blob);
        binary.send().await.unwrap();
        let gone = sm.create_secret().name("gone").secret_string("deleted");
        gone.send().await.unwrap();
        sm.delete_secret().secret_id("gone").send().await.unwrap();
        let empty = sm.create_secret().name("empty");
        empty.send().await.unwrap();
        for n in 0..many {
            let put = ssm.put_parameter().name(format!("/bulk/p{n}"));
            let put = put.value(format!("parameter-{n}"));
            put.r#type(ParameterType::SecureString)
                .send()
                .await
                .unwrap();
            let create = sm.create_secret().name(format!("bulk/s{n}"));
            create
                .secret_string(format!("secret-{n}"))
                .send()
                .await
                .unwrap();
        }
    }

    pub(crate) fn clients(&self) -> (aws_sdk_ssm::Client, aws_sdk_secretsmanager::Client) {
        let credentials = || Credentials::new("test", "test", None, None, "test");
        let region = || Region::new("us-east-1");
        let latest = BehaviorVersion::latest;
        let ssm = aws_sdk_ssm::Config::builder()
            .behavior_version(latest())
            .region(region());
        let ssm = ssm
            .endpoint_url(&self.url)
            .credentials_provider(credentials());
        let sm = aws_sdk_secretsmanager::Config::builder().behavior_version(latest());
        let sm = sm
            .region(region())
            .endpoint_url(&self.url)
            .credentials_provider(credentials());
        (
            aws_sdk_ssm::Client::from_conf(ssm.build()),
            aws_sdk_secretsmanager::Client::from_conf(sm.build()),
        )
    }
}

/// Returns the overview's two command lines, as in the README.
fn overview_commands() -> Vec<String> {
    let overview = include_str!("../../README.md").replace("\\\n", " ");
    let commands = overview.lines().map(str::trim);
    let creating = |line: &&str| {
        line.starts_with("aws ssm put-parameter")
            || line.starts_with("aws secretsmanager create-secret")
    };
    let commands: Vec<_> = commands.filter(creating).map(str::to_owned).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    commands
}

fn value_of(command: &str, option: &str) -> String {
    let (_, rest) = command.split_once(option).unwrap();
    rest.split_whitespace()
        .next()
        .unwrap()
        .trim_matches('"')
        .to_owned()
}

/// Returns a configuration with dummy credentials for this address.
pub(crate) fn aws(url: &str) -> Config {
    let keys = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ];
    config()
        .environment(keys)
        .aws(AwsMode::On)
        .endpoint_url(url)
        // tests of late lookups set a shorter one
        .deadline(SOON)
}
