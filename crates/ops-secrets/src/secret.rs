use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Source of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SecretSource {
    /// An environment variable.
    Env,
    /// A file: the one that `NAME_FILE` names, or one in a mounted folder.
    File,
    /// AWS Systems Manager Parameter Store.
    AwsSsm,
    /// AWS Secrets Manager.
    AwsSecretsManager,
    /// A store of your own, by its name; see [`Config::source`](crate::Config::source).
    Custom(&'static str),
    /// The `.env` file.
    DotEnv,
    /// The caller's default, or the catalog's.
    Default,
    /// Nowhere.
    Missing,
}

impl SecretSource {
    /// All sources, in order of precedence. Stores of your own are one of them here.
    pub const ALL: &'static [Self] = &[
        Self::Env,
        Self::File,
        Self::AwsSsm,
        Self::AwsSecretsManager,
        Self::Custom("custom"),
        Self::DotEnv,
        Self::Default,
        Self::Missing,
    ];

    /// Returns the name as it appears in reports and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
            Self::AwsSsm => "aws_ssm",
            Self::AwsSecretsManager => "aws_secrets_manager",
            Self::Custom(name) => name,
            Self::DotEnv => "dotenv",
            Self::Default => "default",
            Self::Missing => "missing",
        }
    }

    pub(crate) fn is_aws(self) -> bool {
        matches!(self, Self::AwsSsm | Self::AwsSecretsManager)
    }

    /// Position in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Env => 0,
            Self::File => 1,
            Self::AwsSsm => 2,
            Self::AwsSecretsManager => 3,
            Self::Custom(_) => 4,
            Self::DotEnv => 5,
            Self::Default => 6,
            Self::Missing => 7,
        }
    }
}

impl serde::Serialize for SecretSource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Value of a secret, and its source.
///
/// Cloning shares one allocation, which is zeroed when the last clone is dropped. `Debug` and `Display` print
/// `[REDACTED]`; [`expose`](Secret::expose) is the only way to the text. Buffers of the TLS and HTTP stack and of the
/// process environment are out of reach of the zeroing.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    value: Zeroizing<Box<str>>,
    source: SecretSource,
    /// Content of a secret that is no text.
    binary: Option<Zeroizing<Box<[u8]>>>,
}

/// Bytes of a secret, and its source.
///
/// Cloning shares one allocation, which is zeroed when the last clone is dropped. `Debug` prints `[REDACTED]`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Secret);

impl SecretBytes {
    pub(crate) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    pub(crate) fn into_secret(self) -> Secret {
        self.0
    }

    /// Returns the bytes: those of a binary secret, or of the text of any other. Every call is a place to review.
    pub fn expose(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Returns the source of the value.
    pub fn source(&self) -> SecretSource {
        self.0.source()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl Secret {
    pub(crate) fn new(value: &str, source: SecretSource) -> Self {
        Self(Arc::new(Inner {
            value: Zeroizing::new(Box::from(value)),
            source,
            binary: None,
        }))
    }

    /// A secret that is no text, and is given to nobody who asks for text.
    pub(crate) fn binary(bytes: &[u8], source: SecretSource) -> Self {
        Self(Arc::new(Inner {
            value: Zeroizing::new(Box::default()),
            source,
            binary: Some(Zeroizing::new(Box::from(bytes))),
        }))
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.0.binary.is_some()
    }

    fn bytes(&self) -> &[u8] {
        match &self.0.binary {
            Some(bytes) => bytes,
            None => self.expose().as_bytes(),
        }
    }

    /// Returns the text. Every call is a place to review.
    pub fn expose(&self) -> &str {
        &self.0.value
    }

    /// Returns the source of the value.
    pub fn source(&self) -> SecretSource {
        self.0.source
    }

    pub(crate) fn is_default(&self) -> bool {
        self.source() == SecretSource::Default
    }

    /// Returns whether both are clones of one secret.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Compares in time that depends on the lengths alone.
    pub fn ct_eq(&self, other: impl AsRef<[u8]>) -> bool {
        self.expose().as_bytes().ct_eq(other.as_ref()).into()
    }
}

/// Constant-time, on the value alone.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is_binary() == other.is_binary() && self.bytes().ct_eq(other.bytes()).into()
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
