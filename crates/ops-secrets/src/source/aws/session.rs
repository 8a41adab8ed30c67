//! Configuration and clients of the SDK, created at the first lookup with
//! an explicit region, short timeouts and without the SDK's retries.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::caught::caught;
use crate::error::ErrorKind;
use crate::source::aws::classify::is_credentials_failure;
use crate::source::aws::credentials;
use crate::source::aws::detection::is_region;
use crate::source::aws::pace::Pace;
use crate::source::aws::settings::AwsSettings;
use crate::source::env::Environment;
use crate::source::{FetchError, FetchResult};

/// Maximum wait for a connection: Linux resends a lost first packet after one second.
const CONNECT: Duration = Duration::from_millis(2500);
/// Maximum wait for one response.
const ATTEMPT: Duration = Duration::from_millis(3500);
/// Maximum wait for credentials.
const CREDENTIALS: Duration = Duration::from_secs(2);

/// Configuration shared by both services. A forked child creates its own: connections belong to one process.
pub(crate) struct Session {
    pub(crate) settings: AwsSettings,
    sdk: PerProcess<SdkConfig>,
    /// Incremented when credentials were unavailable or refused: the SDK
    /// reads profile files once, and another login may have rewritten them.
    round: AtomicU64,
}

/// Client of one service.
pub(crate) struct Connection<C> {
    client: PerProcess<C>,
    pace: Mutex<Option<(u32, Arc<Pace>)>>,
}

/// Client, with the round of the session that it belongs to.
pub(crate) struct Open<C> {
    pub(crate) client: C,
    pub(crate) pace: Arc<Pace>,
    pub(crate) round: u64,
}

/// Client that is created from the shared configuration.
pub(crate) trait Connect: Clone + Send + Sync + 'static {
    /// Variable for this service's endpoint.
    const ENDPOINT_VARIABLE: &'static str;

    fn connect(sdk: &SdkConfig, endpoint: Option<String>) -> Self;
}

/// Value that each process creates for itself in each round.
struct PerProcess<T>(Mutex<Option<Created<T>>>);

/// Created value, with its process and round.
struct Created<T> {
    process: u32,
    round: u64,
    cell: Arc<OnceCell<T>>,
}

impl<C: Connect> Connection<C> {
    pub(crate) fn new() -> Self {
        Self {
            client: PerProcess::new(),
            pace: Mutex::new(None),
        }
    }

    /// Returns the client and the limits on its requests. If there is no region yet, the next lookup tries again.
    pub(crate) async fn open(&self, session: &Session) -> Result<Open<C>, FetchError> {
        let round = session.round.load(Ordering::Relaxed);
        let cell = self.client.cell(round);
        let client = cell.get_or_try_init(|| async {
            let endpoint = session.settings.endpoint(C::ENDPOINT_VARIABLE);
            Ok(C::connect(&session.sdk(round).await?, endpoint))
        });
        Ok(Open {
            client: client.await?.clone(),
            pace: self.pace(),
            round,
        })
    }

    fn pace(&self) -> Arc<Pace> {
        let mut pace = self.pace.lock();
        match pace
            .as_ref()
            .filter(|(made_by, _)| *made_by == process::id())
        {
            Some((_, pace)) => Arc::clone(pace),
            None => {
                let new = Arc::new(Pace::new());
                *pace = Some((process::id(), Arc::clone(&new)));
                new
            }
        }
    }
}

impl<T> PerProcess<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn cell(&self, round: u64) -> Arc<OnceCell<T>> {
        let (mut created, process) = (self.0.lock(), process::id());
        match &*created {
            Some(last) if (last.process, last.round) == (process, round) => Arc::clone(&last.cell),
            _ => {
                let cell = Arc::new(OnceCell::new());
                let before = created.replace(Created {
                    process,
                    round,
                    cell: Arc::clone(&cell),
                });
                // leave the parent's connections alone: closing them here would end them in the parent
                std::mem::forget(before.filter(|before| before.process != process));
                cell
            }
        }
    }
}

impl Session {
    pub(crate) fn new(settings: AwsSettings) -> Self {
        Self {
            settings,
            sdk: PerProcess::new(),
            round: AtomicU64::new(0),
        }
    }

    /// Starts another round if results of this one show missing or
    /// refused credentials, so that the next lookup reads them again.
    pub(crate) fn learn(&self, round: u64, answers: &[FetchResult]) {
        let mut failures = answers.iter().filter_map(|answer| answer.as_ref().err());
        if failures.any(is_credentials_failure) {
            let relaxed = Ordering::Relaxed;
            let next = round + 1;
            // concurrent refusals start only one round
            let _ = self.round.compare_exchange(round, next, relaxed, relaxed);
        }
    }

    async fn sdk(&self, round: u64) -> Result<SdkConfig, FetchError> {
        let cell = self.sdk.cell(round);
        let sdk = cell.get_or_try_init(|| self.load()).await?;
        Ok(sdk.clone())
    }

    async fn load(&self) -> Result<SdkConfig, FetchError> {
        let settings = &self.settings;
        let region = settings.find_region().await?;
        let deadline = settings.deadline;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT.min(deadline.mul_f64(0.5)))
            .operation_attempt_timeout(ATTEMPT.min(deadline.mul_f64(0.7)))
            .operation_timeout(ATTEMPT.min(deadline.mul_f64(0.7)))
            .build();
        let identity = IdentityCache::lazy()
            .load_timeout(CREDENTIALS.min(deadline.mul_f64(0.5)))
            .build();
        let provider = credentials::provider(settings, &region).await?;
        let retries = RetryConfig::standard().with_max_attempts(1);
        if let Environment::Given(_) = &settings.environment {
            // the SDK's loader would read the process's variables
            let mut sdk = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(region)
                .timeout_config(timeouts)
                .retry_config(retries)
                .identity_cache(identity);
            sdk.set_credentials_provider(Some(provider.shared()));
            sdk.set_use_fips(settings.flag("AWS_USE_FIPS_ENDPOINT"));
            sdk.set_use_dual_stack(settings.flag("AWS_USE_DUALSTACK_ENDPOINT"));
            return Ok(sdk.build());
        }
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region)
            .timeout_config(timeouts)
            .retry_config(retries)
            .identity_cache(identity);
        Ok(provider.give_to(loader).load().await)
    }
}

impl AwsSettings {
    fn flag(&self, variable: &str) -> Option<bool> {
        let text = self.environment.text(variable)?;
        Some(text.trim().eq_ignore_ascii_case("true"))
    }

    /// Returns the endpoint of one service: the configured one, otherwise that of the variables.
    fn endpoint(&self, variable: &str) -> Option<String> {
        let configured = self.endpoint_url.clone();
        let ignored = self.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
        if configured.is_some() || ignored == Some(true) {
            return configured;
        }
        let named = self.environment.text(variable);
        named.or_else(|| self.environment.text("AWS_ENDPOINT_URL"))
    }

    /// Finds the region. The metadata service is queried only on an EC2 machine: elsewhere that is a second of waiting.
    async fn find_region(&self) -> Result<Region, FetchError> {
        let named = |variable: &'static str| Some((variable, self.environment.text(variable)?));
        let configured = self
            .region
            .clone()
            .map(|region| ("the configured region", region));
        let found = configured
            .or_else(|| named("AWS_REGION"))
            .or_else(|| named("AWS_DEFAULT_REGION"));
        if let Some((place, region)) = found {
            return match is_region(&region) {
                true => Ok(Region::new(region)),
                false => Err(FetchError::unreachable(
                    ErrorKind::Config,
                    format!(
                        "{place} is not a valid region: expected letters, digits and `-`, as in us-east-1"
                    ),
                )),
            };
        }
        let mut profile = ProfileFileRegionProvider::builder();
        if let Some(files) = credentials::profile_files(&self.environment) {
            profile = profile.profile_files(files);
        }
        if let Some(name) = self.environment.text("AWS_PROFILE") {
            profile = profile.profile_name(name);
        }
        if let Some(region) = profile.build().region().await {
            return Ok(region);
        }
        let from_metadata = match self.ec2 {
            true => {
                let provider = ImdsRegionProvider::builder().imds_client(self.imds());
                provider.build().region().await
            }
            false => None,
        };
        let no_region = "no region configured: set AWS_REGION, or `region` in the profile";
        from_metadata.ok_or_else(|| FetchError::unreachable(ErrorKind::Unavailable, no_region))
    }

    pub(super) fn imds(&self) -> imds::Client {
        let short = Duration::from_millis(200);
        let builder = || {
            imds::Client::builder()
                .connect_timeout(short)
                .read_timeout(short)
                .operation_timeout(2 * short)
                .max_attempts(1)
        };
        let Some(endpoint) = &self.metadata_endpoint else {
            return builder().build();
        };
        match builder().endpoint(endpoint) {
            Ok(builder) => builder.build(),
            Err(error) => {
                caught(
                    || tracing::warn!(target: "ops_secrets", %error, effect = "not a valid URL: the default endpoint is used", "metadata_endpoint_invalid"),
                );
                builder().build()
            }
        }
    }
}
