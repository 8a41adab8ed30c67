//! Decision whether to query AWS at all, based on variables and files, without a packet.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::source::env::Environment;
pub(crate) use crate::source::target::is_region;

/// Setting for querying AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AwsMode {
    /// Only if something hints at AWS: credentials or a profile in the environment, `~/.aws`,
    /// a container or web identity, an EC2 machine. Without credentials or a route, the next
    /// source is queried; explicitly configured credentials that cannot be used are an error.
    #[default]
    Auto,
    /// Always; if AWS cannot be queried, that is an error.
    On,
    /// Never.
    Off,
}

impl AwsMode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Some(Self::Auto),
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// Decision whether to query AWS, with its reason for operators.
#[derive(Clone, Debug)]
pub(crate) struct AwsDetection {
    pub(crate) open: bool,
    #[cfg_attr(
        not(feature = "aws"),
        expect(dead_code, reason = "read where AWS is compiled in")
    )]
    pub(crate) ec2: bool,
    pub(crate) reason: String,
}

const CREDENTIAL_HINTS: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

impl AwsDetection {
    pub(crate) fn decide(
        mode: AwsMode,
        agent: Option<&str>,
        environment: &Environment,
        dmi: &Path,
    ) -> Self {
        let metadata_off = environment
            .text("AWS_EC2_METADATA_DISABLED")
            .is_some_and(|on| on.eq_ignore_ascii_case("true"));
        let ec2 = !metadata_off
            && fs::read_to_string(dmi).is_ok_and(|vendor| vendor.trim() == "Amazon EC2");
        let named_credentials = CREDENTIAL_HINTS
            .iter()
            .find(|name| environment.has(name))
            .map(|name| format!("{name} is set"));
        let hint = agent.map(|address| format!("the agent at {address} is configured"));
        let hint = hint
            .or(named_credentials)
            .or_else(|| shared_file(environment))
            .or_else(|| ec2.then(|| "running on EC2".into()));
        let (open, reason) = match (mode, hint) {
            (AwsMode::Off, _) => (false, "AWS is disabled".into()),
            (AwsMode::On, _) => (true, "AWS is enabled".into()),
            (AwsMode::Auto, Some(hint)) => (true, hint),
            (AwsMode::Auto, None) => (false, "no AWS configuration found".into()),
        };
        Self { open, ec2, reason }
    }
}

fn shared_file(environment: &Environment) -> Option<String> {
    let home = environment.path("HOME");
    let at = |variable: &str, name: &str| {
        environment
            .path(variable)
            .or_else(|| Some(home.as_ref()?.join(".aws").join(name)))
    };
    let files = [
        at("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        at("AWS_CONFIG_FILE", "config"),
    ];
    let found = files
        .into_iter()
        .flatten()
        .find(|file| fs::metadata(file).is_ok_and(|file| file.is_file()));
    found.map(|file| format!("{} exists", file.display()))
}
