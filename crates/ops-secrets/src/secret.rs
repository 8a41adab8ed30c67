use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Where a secret came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable.
    Env,
    /// AWS Systems Manager Parameter Store.
    AwsSsm,
    /// AWS Secrets Manager.
    AwsSecretsManager,
    /// The `.env` file.
    DotEnv,
    /// The caller's default, or the catalogue's.
    Default,
    /// Nowhere.
    Missing,
}

impl SecretSource {
    /// All sources, in order of precedence.
    pub const ALL: [Self; 6] = [
        Self::Env,
        Self::AwsSsm,
        Self::AwsSecretsManager,
        Self::DotEnv,
        Self::Default,
        Self::Missing,
    ];

    /// The name as it appears in reports and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::AwsSsm => "aws_ssm",
            Self::AwsSecretsManager => "aws_secrets_manager",
            Self::DotEnv => "dotenv",
            Self::Default => "default",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A secret's value and where it came from.
///
/// Cloning shares one allocation, which is zeroed when the last clone is dropped. `Debug` and `Display` print
/// `[REDACTED]`; [`expose`](Secret::expose) is the only way to the text. Buffers of the TLS and HTTP stack and of the
/// process environment are out of reach of the zeroing.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    value: Zeroizing<Box<str>>,
    source: SecretSource,
}

impl Secret {
    pub(crate) fn new(value: &str, source: SecretSource) -> Self {
        Self(Arc::new(Inner {
            value: Zeroizing::new(Box::from(value)),
            source,
        }))
    }

    /// The text. Every call is a place to review.
    pub fn expose(&self) -> &str {
        &self.0.value
    }

    /// Where it came from.
    pub fn source(&self) -> SecretSource {
        self.0.source
    }

    /// Compares in time that depends on the lengths alone.
    pub fn ct_eq(&self, other: impl AsRef<[u8]>) -> bool {
        self.expose().as_bytes().ct_eq(other.as_ref()).into()
    }
}

/// Constant-time, on the value alone.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other.expose())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}
