//! AWS: noticed without a packet, asked through its two services.

#[cfg(feature = "aws")]
mod bulk;
#[cfg(feature = "aws")]
mod classify;
#[cfg(feature = "aws")]
mod credentials;
pub(crate) mod detection;
#[cfg(feature = "aws")]
mod pace;
#[cfg(feature = "secretsmanager")]
mod secrets_manager;
#[cfg(feature = "aws")]
mod session;
#[cfg(feature = "ssm")]
mod ssm;

use std::time::Duration;

use crate::source::env::Environment;

/// Settings of both services.
#[cfg_attr(
    not(feature = "aws"),
    expect(dead_code, reason = "read where AWS is compiled in")
)]
pub(crate) struct AwsSettings {
    pub(crate) region: Option<String>,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) metadata_endpoint: Option<String>,
    pub(crate) environment: Environment,
    pub(crate) deadline: Duration,
    /// AWS is asked because something hints at it, and passed over if it is not there.
    pub(crate) automatic: bool,
    pub(crate) ec2: bool,
}

/// Adds the services that are compiled in.
#[cfg(feature = "aws")]
pub(crate) fn add_to(chain: &mut crate::source::chain::SourceChain, settings: AwsSettings) {
    use std::sync::Arc;
    let session = Arc::new(session::Session::new(settings));
    #[cfg(feature = "ssm")]
    chain.add_ssm(Arc::new(ssm::Ssm::new(Arc::clone(&session))));
    #[cfg(feature = "secretsmanager")]
    chain.add_secrets_manager(Arc::new(secrets_manager::SecretsManager::new(session)));
}
