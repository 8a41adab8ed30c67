use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::cache::clock::Clock;
use crate::source::env::Environment;
use crate::{AwsMode, SecretError};

/// The time to live of a remote value when the caller names none.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// How long past its time to live a value may be served while its source fails.
pub const DEFAULT_MAX_STALE: Duration = Duration::from_secs(3600);
/// How long one remote lookup may take in all.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
/// The longest accepted time to live.
pub const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How a [`Secrets`](crate::Secrets) works. The default reads `configs/secrets.yaml` and `.env` where they are there, and asks AWS where
/// something hints at it.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub(crate) catalogue: Option<PathBuf>,
    pub(crate) dotenv: PathBuf,
    pub(crate) expand_dotenv: bool,
    pub(crate) aws: AwsMode,
    pub(crate) region: Option<String>,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) metadata_endpoint: Option<String>,
    pub(crate) dmi_path: PathBuf,
    pub(crate) production: bool,
    pub(crate) ttl_seconds: u64,
    pub(crate) max_stale_seconds: u64,
    pub(crate) deadline_seconds: f64,
    #[serde(skip)]
    pub(crate) catalogue_text: Option<Arc<str>>,
    #[serde(skip)]
    pub(crate) catalogue_name: Option<String>,
    #[serde(skip)]
    pub(crate) environment: Environment,
    #[serde(skip, default = "Clock::system")]
    pub(crate) clock: Clock,
    #[cfg(feature = "testing")]
    #[serde(skip)]
    pub(crate) sources: Option<crate::testing::Sources>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            catalogue: None,
            dotenv: ".env".into(),
            expand_dotenv: true,
            aws: AwsMode::Auto,
            region: None,
            endpoint_url: None,
            metadata_endpoint: None,
            dmi_path: "/sys/class/dmi/id/sys_vendor".into(),
            production: false,
            ttl_seconds: DEFAULT_TTL.as_secs(),
            max_stale_seconds: DEFAULT_MAX_STALE.as_secs(),
            deadline_seconds: DEFAULT_DEADLINE.as_secs_f64(),
            catalogue_text: None,
            catalogue_name: None,
            environment: Environment::Process,
            clock: Clock::system(),
            #[cfg(feature = "testing")]
            sources: None,
        }
    }
}

impl Config {
    /// The default, with what the environment says: `OPS_SECRETS_FILE`, `OPS_DOTENV`, `OPS_SECRETS_AWS` (`auto`, `on`,
    /// `off`), `OPS_AWS_REGION`, `OPS_ENV` (`development`, `production`).
    pub fn from_env() -> Result<Self, SecretError> {
        Self::default().with_env()
    }

    /// Lets the environment override what is set so far; the variables are those of [`from_env`](Self::from_env).
    pub fn with_env(mut self) -> Result<Self, SecretError> {
        let text = |name: &str| self.environment.text(name);
        if let Some(mode) = text("OPS_SECRETS_AWS") {
            let wrong = || SecretError::config("OPS_SECRETS_AWS: expected auto, on or off");
            self.aws = AwsMode::parse(&mode).ok_or_else(wrong)?;
        }
        self.production = match text("OPS_ENV").as_deref() {
            None => self.production,
            Some("development") => false,
            Some("production") => true,
            Some(other) => {
                return Err(SecretError::config(format!(
                    "OPS_ENV: expected development or production, found {other:?}"
                )));
            }
        };
        self.catalogue = text("OPS_SECRETS_FILE")
            .map(PathBuf::from)
            .or(self.catalogue);
        self.dotenv = text("OPS_DOTENV").map_or(self.dotenv, PathBuf::from);
        self.region = text("OPS_AWS_REGION").or(self.region);
        Ok(self)
    }

    /// Reads the catalogue from this file, which must be there. Without it `configs/secrets.yaml` is read if it exists.
    pub fn catalogue(mut self, path: impl Into<PathBuf>) -> Self {
        self.catalogue = Some(path.into());
        self
    }

    /// Takes the catalogue from this text.
    pub fn catalogue_text(mut self, yaml: impl Into<Arc<str>>) -> Self {
        self.catalogue_text = Some(yaml.into());
        self
    }

    /// What errors and reports call a catalogue that was given as text.
    pub fn catalogue_name(mut self, name: impl Into<String>) -> Self {
        self.catalogue_name = Some(name.into());
        self
    }

    /// Where the `.env` file is; the default is the working directory's. No other folder is searched.
    pub fn dotenv(mut self, path: impl Into<PathBuf>) -> Self {
        self.dotenv = path.into();
        self
    }

    /// Whether `${NAME}` and `${NAME:-default}` in the `.env` file are replaced; `false` takes them as text.
    pub fn expand_dotenv(mut self, expand: bool) -> Self {
        self.expand_dotenv = expand;
        self
    }

    /// Whether AWS is asked.
    pub fn aws(mut self, mode: AwsMode) -> Self {
        self.aws = mode;
        self
    }

    /// The AWS region; wins over `AWS_REGION`, `AWS_DEFAULT_REGION` and the profile.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sends the requests for both AWS services there.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.endpoint_url = Some(url.into());
        self
    }

    /// Where the EC2 metadata service is.
    pub fn metadata_endpoint(mut self, url: impl Into<String>) -> Self {
        self.metadata_endpoint = Some(url.into());
        self
    }

    /// The file that tells an EC2 machine by the text `Amazon EC2`.
    pub fn dmi_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.dmi_path = path.into();
        self
    }

    /// In production, falling back to a default is an error for a secret that the catalogue calls required.
    pub fn production(mut self, production: bool) -> Self {
        self.production = production;
        self
    }

    /// The time to live of a remote value when the caller names none: whole seconds, 1 s to 30 days.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl_seconds = ttl.as_secs();
        self
    }

    /// How long past its time to live a value may be served while its source fails: whole seconds, up to 30 days; less than
    /// one switches that off.
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.max_stale_seconds = max_stale.as_secs();
        self
    }

    /// How long one remote lookup may take in all: 0.01 to 60 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline_seconds = deadline.as_secs_f64();
        self
    }

    /// Reads these variables instead of the process's, for tests and for hosts that sandbox their environment.
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<OsString>,
    {
        let variables: HashMap<_, _> = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        self.environment = Environment::Given(Arc::new(variables));
        self
    }

    pub(crate) fn check(&self) -> Result<(), SecretError> {
        if self.ttl_seconds == 0 || self.ttl_seconds > MAX_TTL.as_secs() {
            let limit = MAX_TTL.as_secs();
            return Err(SecretError::config(format!(
                "ttl_seconds: {}; expected 1 to {limit}",
                self.ttl_seconds
            )));
        }
        if self.max_stale_seconds > MAX_TTL.as_secs() {
            return Err(SecretError::config(format!(
                "max_stale_seconds: {}; expected 0 to {}",
                self.max_stale_seconds,
                MAX_TTL.as_secs()
            )));
        }
        if self.aws == AwsMode::On && !cfg!(any(feature = "aws", feature = "testing")) {
            return Err(SecretError::config(
                "AWS is switched on, but this program is built without the features `ssm` and `secretsmanager`",
            ));
        }
        if !(0.01..=60.0).contains(&self.deadline_seconds) {
            let deadline = self.deadline_seconds;
            return Err(SecretError::config(format!(
                "deadline_seconds: {deadline}; expected 0.01 to 60"
            )));
        }
        Ok(())
    }

    pub(crate) fn deadline_duration(&self) -> Duration {
        Duration::from_secs_f64(self.deadline_seconds)
    }
}

/// Without the catalogue's text, which may hold defaults, and without the values of the variables.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.catalogue_text.as_ref().map(|_| "given as text");
        f.debug_struct("Config")
            .field("catalogue", &self.catalogue)
            .field("catalogue_text", &given)
            .field("dotenv", &self.dotenv)
            .field("expand_dotenv", &self.expand_dotenv)
            .field("aws", &self.aws)
            .field("region", &self.region)
            .field("endpoint_url", &self.endpoint_url)
            .field("metadata_endpoint", &self.metadata_endpoint)
            .field("production", &self.production)
            .field("ttl_seconds", &self.ttl_seconds)
            .field("max_stale_seconds", &self.max_stale_seconds)
            .field("deadline_seconds", &self.deadline_seconds)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}
