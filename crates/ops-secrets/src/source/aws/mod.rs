//! AWS: detected without a packet, queried through its two services.

#[cfg(feature = "aws-agent")]
pub(crate) mod agent;
#[cfg(feature = "aws")]
mod bulk;
#[cfg(feature = "aws")]
mod classify;
#[cfg(any(feature = "aws", feature = "aws-agent"))]
mod codes;
#[cfg(feature = "aws")]
mod credentials;
pub(crate) mod detection;
#[cfg(feature = "aws")]
mod pace;
#[cfg(feature = "secretsmanager")]
mod secrets_manager;
#[cfg(feature = "aws")]
mod session;
#[cfg(feature = "aws")]
pub(crate) mod settings;
#[cfg(feature = "ssm")]
mod ssm;
#[cfg(feature = "aws")]
mod sts;

/// Adds the services that are compiled in.
#[cfg(feature = "aws")]
pub(crate) fn add_to(
    chain: &mut crate::source::chain::SourceChain,
    settings: settings::AwsSettings,
) {
    use std::sync::Arc;
    let session = Arc::new(session::Session::new(settings));
    chain.set_identity(Arc::new(sts::Sts::new(Arc::clone(&session))));
    #[cfg(feature = "ssm")]
    chain.add_ssm(Arc::new(ssm::Ssm::new(Arc::clone(&session))));
    #[cfg(feature = "secretsmanager")]
    chain.add_secrets_manager(Arc::new(secrets_manager::SecretsManager::new(session)));
}
