use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::SecretError;
use crate::cache::clock::Clock;
use crate::setup::checked::{
    agent, check_agent, check_deadline, check_max_stale, check_region, check_ttl, deadline,
    max_stale, region, ttl,
};
use crate::source::Source;
use crate::source::aws::detection::AwsMode;
use crate::source::env::Environment;
use crate::source::file::{Mounted, USUAL_FOLDER};

/// Time to live of a remote value if the caller sets none.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// Time past its time to live for which a value may be served while its source fails.
pub const DEFAULT_MAX_STALE: Duration = Duration::from_secs(3600);
/// Maximum total duration of one remote lookup.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
/// Maximum time to live.
pub const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Variable for the region; takes precedence over those of AWS.
const REGION: &str = "OPS_AWS_REGION";

/// Configuration of a [`Secrets`](crate::Secrets). The default reads `configs/secrets.yaml`
/// and `.env` if they exist, and queries AWS if something hints at it.
#[derive(Clone, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "catalog and the other keys of secrets"
)]
pub struct Config {
    pub(crate) catalog: Option<PathBuf>,
    pub(crate) dotenv: PathBuf,
    /// The path comes from `OPS_DOTENV`.
    #[serde(skip)]
    pub(crate) dotenv_is_meant: bool,
    pub(crate) expand_dotenv: bool,
    pub(crate) secrets_folder: Mounted,
    pub(crate) aws: AwsMode,
    #[serde(deserialize_with = "agent")]
    pub(crate) aws_agent: Option<String>,
    #[serde(deserialize_with = "region")]
    pub(crate) region: Option<String>,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) metadata_endpoint: Option<String>,
    pub(crate) dmi_path: PathBuf,
    pub(crate) production: bool,
    #[serde(deserialize_with = "ttl")]
    pub(crate) ttl_seconds: u64,
    #[serde(deserialize_with = "max_stale")]
    pub(crate) max_stale_seconds: u64,
    #[serde(deserialize_with = "deadline")]
    pub(crate) deadline_seconds: f64,
    #[serde(skip)]
    pub(crate) catalog_text: Option<Arc<str>>,
    #[serde(skip)]
    pub(crate) catalog_name: Option<String>,
    /// Secrets added to those of the catalog: name and place at AWS.
    #[serde(skip)]
    pub(crate) added: Vec<(String, String)>,
    #[serde(skip)]
    pub(crate) environment: Environment,
    #[serde(skip, default = "Clock::system")]
    pub(crate) clock: Clock,
    /// Sources that replace Parameter Store and Secrets Manager.
    #[serde(skip)]
    pub(crate) aws_replacements: Option<[Arc<dyn Source>; 2]>,
    /// Sources after AWS, with their names.
    #[serde(skip)]
    pub(crate) sources: Vec<(&'static str, Arc<dyn Source>)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            catalog: None,
            dotenv: ".env".into(),
            dotenv_is_meant: false,
            expand_dotenv: true,
            secrets_folder: Mounted::Usual,
            aws: AwsMode::Auto,
            aws_agent: None,
            region: None,
            endpoint_url: None,
            metadata_endpoint: None,
            dmi_path: "/sys/class/dmi/id/sys_vendor".into(),
            production: false,
            ttl_seconds: DEFAULT_TTL.as_secs(),
            max_stale_seconds: DEFAULT_MAX_STALE.as_secs(),
            deadline_seconds: DEFAULT_DEADLINE.as_secs_f64(),
            catalog_text: None,
            catalog_name: None,
            added: Vec::new(),
            environment: Environment::Process,
            clock: Clock::system(),
            aws_replacements: None,
            sources: Vec::new(),
        }
    }
}

impl Config {
    /// Returns the default with the settings of the environment: `OPS_SECRETS_FILE`, `OPS_DOTENV`,
    /// `OPS_SECRETS_FOLDER`, `OPS_SECRETS_AWS` (`auto`, `on`, `off`), `OPS_SECRETS_AWS_AGENT` (an
    /// address), `OPS_AWS_REGION`, `OPS_ENV` (`development`, `production`).
    ///
    /// # Errors
    ///
    /// Fails if a variable is set to a value that it does not accept; the message names both.
    pub fn from_env() -> Result<Self, SecretError> {
        Self::default().with_env()
    }

    /// Overrides the current settings with those of the environment;
    /// the variables are those of [`from_env`](Self::from_env).
    ///
    /// # Errors
    ///
    /// Fails as [`from_env`](Self::from_env) does.
    pub fn with_env(mut self) -> Result<Self, SecretError> {
        let text = |name: &str| self.environment.text(name);
        let path = |name: &str| self.environment.path(name);
        if let Some(mode) = text("OPS_SECRETS_AWS") {
            let expected = "OPS_SECRETS_AWS: expected auto, on or off";
            let wrong = || SecretError::config(format!("{expected}, found {mode:?}"));
            self.aws = AwsMode::parse(&mode).ok_or_else(wrong)?;
        }
        self.aws_agent = text("OPS_SECRETS_AWS_AGENT").or(self.aws_agent);
        self.production = match text("OPS_ENV").as_deref().map(str::trim) {
            None => self.production,
            Some("development") => false,
            Some("production") => true,
            Some(other) => {
                return Err(SecretError::config(format!(
                    "OPS_ENV: expected development or production, found {other:?}"
                )));
            }
        };
        self.catalog = path("OPS_SECRETS_FILE").or(self.catalog);
        if let Some(path) = path("OPS_DOTENV") {
            (self.dotenv, self.dotenv_is_meant) = (path, true);
        }
        self.secrets_folder =
            path("OPS_SECRETS_FOLDER").map_or(self.secrets_folder, Mounted::Named);
        self.region = text(REGION).or(self.region);
        Ok(self)
    }

    /// Returns the variables that differ from this configuration because
    /// the program overrides them, each with the value in effect.
    pub fn overruled(&self) -> Vec<(&'static str, String)> {
        let not_set = || "not set".to_owned();
        let shown = |path: &PathBuf| path.display().to_string();
        let folder = match &self.secrets_folder {
            Mounted::Named(folder) => shown(folder),
            Mounted::Usual => USUAL_FOLDER.to_owned(),
            Mounted::Nowhere => not_set(),
        };
        let catalog = match &self.catalog_text {
            Some(_) => self
                .catalog_name
                .clone()
                .unwrap_or_else(|| "given as text".to_owned()),
            None => self.catalog.as_ref().map_or_else(not_set, shown),
        };
        let mut used = vec![
            ("OPS_SECRETS_AWS", self.aws.as_str().to_owned()),
            (
                "OPS_SECRETS_AWS_AGENT",
                self.aws_agent.clone().unwrap_or_else(not_set),
            ),
            ("OPS_SECRETS_FILE", catalog),
            ("OPS_DOTENV", shown(&self.dotenv)),
            ("OPS_SECRETS_FOLDER", folder),
            (REGION, self.region.clone().unwrap_or_else(not_set)),
        ];
        let of_variable = self.environment.text(REGION);
        if let Some(region) = self.region.clone().filter(|_| self.region != of_variable) {
            let below = ["AWS_REGION", "AWS_DEFAULT_REGION"];
            used.extend(below.map(|name| (name, region.clone())));
        }
        if let Some(url) = &self.endpoint_url {
            let below = [
                "AWS_ENDPOINT_URL",
                "AWS_ENDPOINT_URL_SSM",
                "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            ];
            used.extend(below.map(|name| (name, url.clone())));
        }
        used.retain(|(name, used)| {
            let asked = self.environment.text(name);
            let is_mode = *name == "OPS_SECRETS_AWS";
            let mode = |asked: &str| AwsMode::parse(asked).filter(|_| is_mode);
            asked.is_some_and(|asked| match mode(&asked) {
                Some(mode) => mode.as_str() != used,
                None => asked != *used,
            })
        });
        used
    }

    /// Reads the catalog from this file, which must exist. By default, `configs/secrets.yaml` is read if it exists.
    #[must_use]
    pub fn catalog(mut self, path: impl Into<PathBuf>) -> Self {
        self.catalog = Some(path.into());
        self
    }

    /// Sets the catalog as text.
    #[must_use]
    pub fn catalog_text(mut self, yaml: impl Into<Arc<str>>) -> Self {
        self.catalog_text = Some(yaml.into());
        self
    }

    /// Sets the name of a catalog that is given as text, for errors and reports.
    #[must_use]
    pub fn catalog_name(mut self, name: impl Into<String>) -> Self {
        self.catalog_name = Some(name.into());
        self
    }

    /// Adds a secret to those of the catalog: its name and its place at AWS, in
    /// the syntax of the catalog's `aws_path`. It is sensitive and not required.
    ///
    /// ```
    /// use ops_secrets::Config;
    ///
    /// let config = Config::default()
    ///     .secret("db_password", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-AbCdEf#password")
    ///     .secret("db_password_before", "sm:prod/db?stage=AWSPREVIOUS#password");
    /// # drop(config);
    /// ```
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, aws_path: impl Into<String>) -> Self {
        self.added.push((name.into(), aws_path.into()));
        self
    }

    /// Sets the path of the `.env` file; the default is the one in the working directory. No other folder
    /// is searched. A missing file is not an error; if `OPS_DOTENV` names it, a warning is logged.
    #[must_use]
    pub fn dotenv(mut self, path: impl Into<PathBuf>) -> Self {
        (self.dotenv, self.dotenv_is_meant) = (path.into(), false);
        self
    }

    /// Sets whether references like `${NAME}` and `${NAME:-default}`
    /// in the `.env` file are replaced (the default) or taken as text.
    #[must_use]
    pub fn expand_dotenv(mut self, expand: bool) -> Self {
        self.expand_dotenv = expand;
        self
    }

    /// Sets the folder with one file per secret, under its name or its variable; the default is
    /// `/run/secrets`, where Docker and Podman mount secrets. systemd's `$CREDENTIALS_DIRECTORY`
    /// is searched after it. If a folder that is set is missing, a warning is logged.
    #[must_use]
    pub fn secrets_folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.secrets_folder = Mounted::Named(path.into());
        self
    }

    /// Adds a custom source. It is queried after AWS, in the order of addition, for each
    /// cataloged secret: by the catalog's `path` if set, otherwise by the secret's name.
    #[must_use]
    pub fn source(mut self, source: impl Source + 'static) -> Self {
        let name = source.name();
        self.sources.push((name, Arc::new(source)));
        self
    }

    /// Sets whether AWS is queried always, never, or if something hints at it (the default).
    #[must_use]
    pub fn aws(mut self, mode: AwsMode) -> Self {
        self.aws = mode;
        self
    }

    /// Queries an agent on this machine instead of AWS: the AWS Secrets Manager Agent, or the AWS Parameters and
    /// Secrets Lambda Extension, at an address such as `http://localhost:2773`. Needs the feature `aws-agent`.
    ///
    /// The token for its requests is taken from `AWS_TOKEN`, `AWS_SESSION_TOKEN`
    /// or `AWS_CONTAINER_AUTHORIZATION_TOKEN`, as text or as `file://` and a path.
    /// If a configured agent does not respond, that is an error, also with [`AwsMode::Auto`].
    #[must_use]
    pub fn aws_agent(mut self, address: impl Into<String>) -> Self {
        self.aws_agent = Some(address.into());
        self
    }

    /// Sets the AWS region; takes precedence over `AWS_REGION`, `AWS_DEFAULT_REGION` and the profile.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the endpoint for both AWS services.
    #[must_use]
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.endpoint_url = Some(url.into());
        self
    }

    /// Sets the address of the EC2 metadata service.
    #[must_use]
    pub fn metadata_endpoint(mut self, url: impl Into<String>) -> Self {
        self.metadata_endpoint = Some(url.into());
        self
    }

    /// Sets the file that identifies an EC2 machine by the text `Amazon EC2`.
    #[must_use]
    pub fn dmi_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.dmi_path = path.into();
        self
    }

    /// Sets production mode, in which falling back to a default is an error for a secret that the catalog requires.
    #[must_use]
    pub fn production(mut self, production: bool) -> Self {
        self.production = production;
        self
    }

    /// Sets the time to live of a remote value for callers that set none: whole seconds, 1 s to 30 days.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl_seconds = ttl.as_secs();
        self
    }

    /// Sets the time past its time to live for which a value may be served while its
    /// source fails: whole seconds, up to 30 days; less than one second disables it.
    #[must_use]
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.max_stale_seconds = max_stale.as_secs();
        self
    }

    /// Sets the maximum total duration of one remote lookup: 0.01 to 60 s. Throttled requests are repeated until then.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline_seconds = deadline.as_secs_f64();
        self
    }

    /// Reads these variables instead of the process's, for tests and for hosts that sandbox their environment.
    ///
    /// AWS keys, profile, files, web identity, region and endpoints (also for FIPS and dual
    /// stack) are then taken from these variables only. The variables of containers
    /// (`AWS_CONTAINER_CREDENTIALS_*`), which the SDK reads from the process, are an error.
    #[must_use]
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
        let wrong = |key: &'static str| move |why| SecretError::config(format!("{key}: {why}"));
        check_ttl(&self.ttl_seconds).map_err(wrong("ttl_seconds"))?;
        check_max_stale(&self.max_stale_seconds).map_err(wrong("max_stale_seconds"))?;
        let known = cfg!(any(feature = "aws", feature = "testing")) || self.aws_agent.is_some();
        if self.aws == AwsMode::On && !known {
            return Err(SecretError::config(
                "AWS is enabled, but this program is built without the features `ssm` and `secretsmanager`",
            ));
        }
        if let Some(address) = &self.aws_agent {
            check_agent(address).map_err(wrong("aws_agent"))?;
        }
        if let Some(region) = &self.region {
            check_region(region).map_err(wrong("region"))?;
        }
        check_deadline(&self.deadline_seconds).map_err(wrong("deadline_seconds"))
    }

    pub(crate) fn deadline_duration(&self) -> Duration {
        Duration::from_secs_f64(self.deadline_seconds)
    }
}

/// Omits the catalog's text, which may contain defaults, and the values of the variables.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.catalog_text.as_ref().map(|_| "given as text");
        f.debug_struct("Config")
            .field("catalog", &self.catalog)
            .field("catalog_text", &given)
            .field("dotenv", &self.dotenv)
            .field("expand_dotenv", &self.expand_dotenv)
            .field("secrets_folder", &self.secrets_folder)
            .field(
                "sources",
                &self
                    .sources
                    .iter()
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>(),
            )
            .field("aws", &self.aws)
            .field("aws_agent", &self.aws_agent)
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
