//! AWS: found out about without a packet, asked through its two services.

#[cfg(feature = "aws")]
pub(crate) mod client;
pub(crate) mod detection;
#[cfg(feature = "secretsmanager")]
mod secrets_manager;
#[cfg(feature = "ssm")]
mod ssm;
