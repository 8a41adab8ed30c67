//! Credentials: the explicitly configured ones, otherwise those that the SDK finds.

use std::path::{Path, PathBuf};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{ConfigLoader, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};

use crate::error::ErrorKind;
use crate::source::FetchError;
use crate::source::aws::settings::AwsSettings;
use crate::source::env::Environment;

/// Variables of containers, which the SDK reads only from the process.
const CONTAINER: [&str; 2] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Provider of the credentials.
pub(crate) struct Provider(SharedCredentialsProvider);

impl Provider {
    pub(crate) fn shared(self) -> SharedCredentialsProvider {
        self.0
    }

    pub(crate) fn give_to(self, loader: ConfigLoader) -> ConfigLoader {
        loader.credentials_provider(self.0)
    }
}

/// Returns the provider for the environment's keys or profile, otherwise for all places that the SDK searches.
pub(crate) async fn provider(
    settings: &AwsSettings,
    region: &Region,
) -> Result<Provider, FetchError> {
    let shared = if let Some(keys) = settings.keys()? {
        SharedCredentialsProvider::new(keys)
    } else if settings.environment.has("AWS_PROFILE") {
        SharedCredentialsProvider::new(settings.profile(region))
    } else if let Environment::Given(_) = &settings.environment {
        SharedCredentialsProvider::new(settings.given_chain(region)?)
    } else {
        let chain = DefaultCredentialsChain::builder()
            .region(region.clone())
            .imds_client(settings.imds());
        SharedCredentialsProvider::new(chain.build().await)
    };
    Ok(Provider(shared))
}

impl AwsSettings {
    /// Describes the explicitly configured credentials. If there
    /// are any, no others are used silently: a failure is reported.
    pub(super) fn named_credentials(&self) -> Option<String> {
        let variables = ["AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"];
        let variables = variables.iter().chain(&CONTAINER);
        variables
            .filter_map(|name| Some(format!("{name}={}", self.environment.text(name)?)))
            .next()
    }

    fn keys(&self) -> Result<Option<Credentials>, FetchError> {
        let text = |name: &str| {
            let refused = |why| FetchError::unreachable(ErrorKind::Config, why);
            self.environment.exact(name).map_err(refused)
        };
        let key = text("AWS_ACCESS_KEY_ID")?;
        let secret = match text("AWS_SECRET_ACCESS_KEY")? {
            Some(secret) => Some(secret),
            None => text("SECRET_ACCESS_KEY")?,
        };
        let half = |set: &str, unset: &str| {
            let detail = format!("{set} is set, but {unset} is not");
            Err(FetchError::unreachable(ErrorKind::Config, detail))
        };
        match (key, secret) {
            (Some(key), Some(secret)) => {
                let token = text("AWS_SESSION_TOKEN")?;
                let keys = Credentials::new(key, secret, token, None, "environment");
                Ok(Some(keys))
            }
            (Some(_), None) => half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            (None, Some(_)) => half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            (None, None) => Ok(None),
        }
    }

    fn profile(&self, region: &Region) -> ProfileFileCredentialsProvider {
        let mut provider = ProfileFileCredentialsProvider::builder().configure(&at(region));
        if let Some(name) = self.environment.text("AWS_PROFILE") {
            provider = provider.profile_name(name);
        }
        if let Some(files) = profile_files(&self.environment) {
            provider = provider.profile_files(files);
        }
        provider.build()
    }

    /// Builds a chain like the SDK's own from the given variables only.
    fn given_chain(&self, region: &Region) -> Result<CredentialsProviderChain, FetchError> {
        if let Some(name) = CONTAINER.iter().find(|name| self.environment.has(name)) {
            let detail = format!(
                "{name} is set in the given environment, but the SDK reads it only from the process environment"
            );
            return Err(FetchError::unreachable(ErrorKind::Config, detail));
        }
        let mut chain = CredentialsProviderChain::first_try("Profile", self.profile(region));
        if let Some(token) = self.environment.path("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let Some(role_arn) = self.environment.text("AWS_ROLE_ARN") else {
                let detail = "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not";
                return Err(FetchError::unreachable(ErrorKind::Config, detail));
            };
            let session = self.environment.text("AWS_ROLE_SESSION_NAME");
            let identity = StaticConfiguration {
                web_identity_token_file: token,
                role_arn,
                session_name: session.unwrap_or_else(|| "ops-secrets".into()),
            };
            let provider = WebIdentityTokenCredentialsProvider::builder()
                .configure(&at(region))
                .static_configuration(identity);
            chain = chain.or_else("WebIdentityToken", provider.build());
        }
        if self.ec2 {
            let provider = ImdsCredentialsProvider::builder()
                .configure(&at(region))
                .imds_client(self.imds());
            chain = chain.or_else("Ec2InstanceMetadata", provider.build());
        }
        Ok(chain)
    }
}

/// Returns the profile files that a given environment names; `None`
/// for the process's environment, which the SDK reads itself.
pub(crate) fn profile_files(environment: &Environment) -> Option<EnvConfigFiles> {
    let Environment::Given(_) = environment else {
        return None;
    };
    let home = environment.path("HOME");
    let at = |variable: &str, name: &str| {
        let usual = || Some(home.as_ref()?.join(".aws").join(name));
        let usual = || usual().filter(|path: &PathBuf| Path::is_file(path));
        environment.path(variable).or_else(usual)
    };
    // at least one file is required, and it may be empty
    let mut files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "");
    if let Some(path) = at("AWS_CONFIG_FILE", "config") {
        files = files.with_file(EnvConfigFileKind::Config, path);
    }
    if let Some(path) = at("AWS_SHARED_CREDENTIALS_FILE", "credentials") {
        files = files.with_file(EnvConfigFileKind::Credentials, path);
    }
    Some(files.build())
}

fn at(region: &Region) -> ProviderConfig {
    ProviderConfig::without_region().with_region(Some(region.clone()))
}
