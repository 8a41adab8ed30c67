//! The clients of AWS: made at the first lookup, with an explicit region, short timeouts and few attempts.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use tokio::sync::OnceCell;

use crate::error::ErrorKind;
use crate::setup::config::Config;
use crate::source::aws::detection::Gate;
use crate::source::{Fault, Fetched, Guarded, Remote};
use crate::{AwsMode, SecretSource};

pub(crate) fn remote(config: &Config, gate: &Gate) -> Remote {
    let automatic = config.aws == AwsMode::Auto;
    let shared = Arc::new(Shared {
        config: config.clone(),
        ec2: gate.ec2,
        sdk: OnceCell::new(),
    });
    Remote {
        #[cfg(feature = "ssm")]
        ssm: Some(Guarded::new(
            SecretSource::AwsSsm,
            Arc::new(crate::source::aws::ssm::Ssm::new(Arc::clone(&shared))),
        )),
        #[cfg(not(feature = "ssm"))]
        ssm: None,
        #[cfg(feature = "secretsmanager")]
        secrets_manager: {
            let backend = Arc::new(crate::source::aws::secrets_manager::SecretsManager::new(
                shared,
            ));
            Some(Guarded::new(SecretSource::AwsSecretsManager, backend))
        },
        #[cfg(not(feature = "secretsmanager"))]
        secrets_manager: None,
        automatic,
    }
}

/// What both clients share.
pub(crate) struct Shared {
    config: Config,
    ec2: bool,
    sdk: OnceCell<SdkConfig>,
}

impl Shared {
    /// Tries again at the next lookup if there is no region yet.
    pub(crate) async fn sdk(&self) -> Result<&SdkConfig, Fault> {
        self.sdk.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> Result<SdkConfig, Fault> {
        let no_region = "no region: set AWS_REGION, or `region` in the profile";
        let region = self
            .region()
            .await
            .ok_or_else(|| Fault::Unreachable(ErrorKind::Unavailable, no_region.into()))?;
        let seconds = Duration::from_secs;
        let deadline = self.config.deadline_duration();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(seconds(1).min(deadline.mul_f64(0.4)))
            .operation_attempt_timeout(seconds(2).min(deadline.mul_f64(0.4)))
            .operation_timeout(seconds(4).min(deadline.mul_f64(0.8)))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region.clone())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .identity_cache(IdentityCache::lazy().load_timeout(seconds(2)).build());
        if let Some(url) = &self.config.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        loader = match self.given_credentials() {
            Some(credentials) => loader.credentials_provider(credentials),
            None => {
                let chain = DefaultCredentialsChain::builder()
                    .region(region)
                    .imds_client(self.imds());
                loader.credentials_provider(chain.build().await)
            }
        };
        Ok(loader.load().await)
    }

    /// Never from the metadata service unless this is an EC2 machine: elsewhere that is a second of waiting.
    async fn region(&self) -> Option<Region> {
        let environment = &self.config.environment;
        let named = self.config.region.clone();
        let named = named
            .or_else(|| environment.text("AWS_REGION"))
            .or_else(|| environment.text("AWS_DEFAULT_REGION"));
        if let Some(name) = named {
            return Some(Region::new(name));
        }
        if let Some(region) = ProfileFileRegionProvider::new().region().await {
            return Some(region);
        }
        if !self.ec2 {
            return None;
        }
        ImdsRegionProvider::builder()
            .imds_client(self.imds())
            .build()
            .region()
            .await
    }

    fn given_credentials(&self) -> Option<Credentials> {
        let environment = &self.config.environment;
        let (key, secret) = (
            environment.text("AWS_ACCESS_KEY_ID")?,
            environment.text("AWS_SECRET_ACCESS_KEY")?,
        );
        Some(Credentials::new(
            key,
            secret,
            environment.text("AWS_SESSION_TOKEN"),
            None,
            "environment",
        ))
    }

    fn imds(&self) -> imds::Client {
        let short = Duration::from_millis(200);
        let builder = || {
            imds::Client::builder()
                .connect_timeout(short)
                .read_timeout(short)
                .operation_timeout(2 * short)
                .max_attempts(1)
        };
        let Some(endpoint) = &self.config.metadata_endpoint else {
            return builder().build();
        };
        match builder().endpoint(endpoint) {
            Ok(builder) => builder.build(),
            Err(error) => {
                tracing::warn!(target: "ops_secrets", %error, "the metadata endpoint is not a URL; the usual one is used");
                builder().build()
            }
        }
    }

    /// The class of a failure. `absent` tells, from code and message, what means that there is no such thing.
    pub(crate) fn classify<E>(
        &self,
        error: SdkError<E, HttpResponse>,
        absent: fn(&str, &str) -> bool,
    ) -> Fault
    where
        E: aws_smithy_types::error::metadata::ProvideErrorMetadata + Error + 'static,
    {
        if let Some(service) = error.as_service_error() {
            let (code, message) = (
                service.code().unwrap_or("unknown"),
                service.message().unwrap_or_default(),
            );
            if absent(code, message) {
                return Fault::Absent;
            }
            let status = error
                .raw_response()
                .map_or(0, |response| response.status().as_u16());
            return Fault::Failed(kind_of(code, status), format!("{code}, HTTP {status}"));
        }
        if let Some(error) = cause::<CredentialsError>(&error) {
            let detail = match error {
                CredentialsError::CredentialsNotLoaded(_) => "no credentials",
                CredentialsError::ProviderTimedOut(_) => "no credentials in time",
                _ => "the credentials could not be had",
            };
            return Fault::Unreachable(ErrorKind::Unavailable, detail.into());
        }
        match &error {
            SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
                let kind = if self.config.aws == AwsMode::Auto {
                    ErrorKind::Unavailable
                } else {
                    ErrorKind::Transient
                };
                Fault::Unreachable(kind, "no connection".into())
            }
            SdkError::TimeoutError(_) => {
                Fault::Failed(ErrorKind::Transient, "no answer in time".into())
            }
            _ => Fault::Failed(ErrorKind::Transient, "the answer could not be read".into()),
        }
    }
}

/// By code, because the SDK models neither denial nor throttling for these services.
pub(crate) fn kind_of(code: &str, status: u16) -> ErrorKind {
    match code {
        "AccessDeniedException"
        | "AccessDenied"
        | "KMSAccessDeniedException"
        | "UnauthorizedOperation" => ErrorKind::AccessDenied,
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "KMSThrottlingException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "ProvisionedThroughputExceededException"
        | "BandwidthLimitExceeded" => ErrorKind::Throttled,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "RequestExpired" => ErrorKind::Unauthenticated,
        _ if code.starts_with("ExpiredToken") => ErrorKind::Unauthenticated,
        "DecryptionFailure"
        | "InvalidKeyId"
        | "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException" => ErrorKind::Decrypt,
        "ValidationException" | "InvalidParameterException" => ErrorKind::Config,
        _ if status == 403 => ErrorKind::AccessDenied,
        _ if status == 429 => ErrorKind::Throttled,
        _ => ErrorKind::Transient,
    }
}

fn cause<'a, C: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a C> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        at = error.source();
    }
    None
}

/// Runs one future per chunk at the same time and joins the answers in order.
pub(crate) async fn chunked<F>(
    names: &[String],
    size: usize,
    one: impl Fn(Vec<String>) -> F,
) -> Vec<Fetched>
where
    F: Future<Output = Vec<Fetched>> + Send + 'static,
{
    let tasks: Vec<_> = names
        .chunks(size)
        .map(|chunk| (chunk.len(), tokio::spawn(one(chunk.to_vec()))))
        .collect();
    let mut fetched = Vec::with_capacity(names.len());
    for (len, task) in tasks {
        let broken = |_| {
            vec![
                Err(Fault::Failed(
                    ErrorKind::Transient,
                    "the lookup broke off".into()
                ));
                len
            ]
        };
        fetched.extend(task.await.unwrap_or_else(broken));
    }
    fetched
}
