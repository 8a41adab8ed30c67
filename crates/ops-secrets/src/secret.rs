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
    /// A file: the one named by `NAME_FILE`, or one in a mounted folder.
    File,
    /// AWS Systems Manager Parameter Store.
    AwsSsm,
    /// AWS Secrets Manager.
    AwsSecretsManager,
    /// A custom source, by its name; see [`Config::source`](crate::Config::source).
    Custom(&'static str),
    /// The `.env` file.
    DotEnv,
    /// The caller's default, or the catalog's.
    Default,
    /// No source has it.
    Missing,
}

impl SecretSource {
    /// All sources, in order of precedence. All custom sources are one element.
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

/// Value of a secret, with its source.
///
/// Cloning shares one allocation, which is zeroed when the last clone is dropped. `Debug` and
/// `Display` print `[REDACTED]`; [`expose`](Secret::expose) is the only access to the text.
/// Zeroing does not cover buffers of the TLS and HTTP stack or the process environment.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    value: Zeroizing<Box<str>>,
    source: SecretSource,
    /// Content of a secret that is not text.
    binary: Option<Zeroizing<Box<[u8]>>>,
}

/// Bytes of a secret, with its source.
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

    /// Returns the bytes of a binary secret, or those of the text otherwise. Review every call of this method.
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

    /// Creates a binary secret. Callers that request text never get it.
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

    /// Returns the text. Review every call of this method.
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

    /// Returns whether both are clones of the same secret.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Compares in time that depends only on the lengths.
    pub fn ct_eq(&self, other: impl AsRef<[u8]>) -> bool {
        self.expose().as_bytes().ct_eq(other.as_ref()).into()
    }
}

/// Compares the values only, in constant time.
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
