//! Secrets from the environment, files, AWS SSM, AWS Secrets Manager, custom sources
//! and `.env`: one call, one order of precedence, and every value names its source.
//!
//! ```
//! use ops_secrets::{Config, SecretSource, Secrets};
//!
//! # fn main() -> Result<(), ops_secrets::SecretError> {
//! let config = Config::default().environment([("DATABASE_HOST", "db.internal")]);
//! let secrets = Secrets::new(config)?;
//!
//! let host = secrets.get("DATABASE_HOST").or("localhost").blocking()?; // `.await` in async code
//! assert_eq!(host.expose(), "db.internal");
//! assert_eq!(host.source(), SecretSource::Env);
//! assert_eq!(format!("{host:?}"), "[REDACTED]");
//! # Ok(())
//! # }
//! ```
//!
//! # In an application
//! [`get_secret`] and [`get_secret_source`] use the process's resolver, which is configured from the environment.
//! Call [`Secrets::validate`] at start: it looks up the whole catalog in bulk and reports everything that is
//! missing in one error. [`Secrets::report`] shows an operator the source of each secret, never its value.
//!
//! ```no_run
//! use ops_secrets::{SecretError, SecretSource, get_secret, get_secret_source};
//!
//! # async fn start() -> Result<(), SecretError> {
//! let key = get_secret("REGISTRY_API_KEY").ttl_seconds(600.0).await?;
//! if get_secret_source("REGISTRY_API_KEY").await? == SecretSource::Env {
//!     println!("using an environment variable");
//! }
//! # drop(key);
//! # Ok(())
//! # }
//! ```
//!
//! # In a library
//! Take a `&Secrets` from your caller. It does not depend on global state.
//!
//! # Guarantees
//! - The order is environment, files, SSM, Secrets Manager, custom sources, `.env`, default. The next source
//!   is queried only if a source *definitely* does not have the secret; in [`AwsMode::Auto`], also if AWS
//!   is unavailable or refuses the credentials. Denied, throttled, late and malformed responses are
//!   errors, never a silent default. In a bulk lookup, each name has its own result.
//! - If nothing hints at AWS, no packet is sent to it.
//! - A remote value is at most as old as the caller's time to live (default 300 s), except while its source is
//!   unreachable, throttled or late: then the last good value is served for up to an hour longer. A time to live
//!   of zero accepts nothing older than the call. After an `invalidate`, no value known before it is served.
//! - Any number of callers that miss the same secret cause one lookup. It runs on a separate thread with a
//!   deadline (5 s), so a caller that goes away does not cancel it, and none of your workers waits for the
//!   network: a blocking call on a worker of a multi-thread runtime moves the worker's other tasks to
//!   another worker. Every caller has its own timeout, independent of sources, listeners and other callers.
//! - The listeners of [`Secrets::on_resolved`] are notified of a
//!   value before any caller gets it, and never inside a lookup.
//! - A hit of a cataloged secret from AWS takes an internal lock without waiting for it,
//!   allocates nothing, and costs little more than `env::var` and a `HashMap::get` together.
//! - The environment is read at each call; files and `.env` are read
//!   again when they change. The process's environment is never written.
//! - No `Debug`, `Display`, error, log line, report or metric contains a value, or a part, length or hash of one.
//!
//! # Errors
//! [`Error`] has a [`kind`](Error::kind), names every source that was
//! [`tried`](Error::tried), and shows whether to [retry](Error::is_retryable).
//!
//! # Feature flags
//! | feature | default | adds |
//! |---|---|---|
//! | `ssm` | yes | AWS SSM Parameter Store |
//! | `secretsmanager` | yes | AWS Secrets Manager |
//! | `aws-agent` | no | `Config::aws_agent`: the AWS agent or Lambda extension instead of AWS |
//! | `sso` | no | profiles with `sso_session` |
//! | `credentials-process` | no | profiles with `credential_process` |
//! | `vault` | no | `VaultSource`: OpenBao and Vault, over HTTP |
//! | `vault-tls` | no | `VaultSource` over HTTPS |
//! | `yaml` | yes | the catalog file |
//! | `metrics` | no | `Secrets::publish_metrics` |
//! | `testing` | no | sources in memory that fail on command, a manual clock |
//! | `aws` | | shared part of the two AWS features; not to be enabled alone |
//!
//! # When not to use it
//! For configuration that is not secret, use a configuration
//! crate. For leased credentials, use the client of the service.

mod cache;
mod caught;
mod error;
mod resolver;
mod secret;
mod setup;
mod source;
#[cfg(feature = "testing")]
pub mod testing;

pub use cache::breaker::BREAKER_OPEN;
pub use cache::freshness::{MAX_BACKOFF, NEGATIVE_TTL};
pub use error::{Attempt, Error, ErrorKind, SecretError};
pub use resolver::get::{Get, Resolving};
pub use resolver::global::{get_secret, get_secret_source, global, init};
pub use resolver::listeners::{MIN_ANNOUNCED_BYTES, Resolved};
pub use resolver::report::{DotEnvReport, Report, SecretReport, SourceReport};
pub use resolver::rotation::{DEFAULT_WATCH_INTERVAL, MIN_REFRESH_INTERVAL, Watch};
pub use resolver::secrets::Secrets;
pub use resolver::stats::Stats;
pub use secret::{Secret, SecretBytes, SecretSource};
pub use setup::catalog::{MAX_CATALOG_BYTES, MAX_CATALOG_ENTRIES, MAX_NAME_BYTES};
pub use setup::config::{Config, DEFAULT_DEADLINE, DEFAULT_MAX_STALE, DEFAULT_TTL, MAX_TTL};
pub use source::aws::detection::AwsMode;
pub use source::dotenv::{Diagnostic, MAX_DOTENV_BYTES};
pub use source::file::{FolderSource, MAX_SECRET_FILE_BYTES};
#[cfg(feature = "vault")]
pub use source::vault::VaultSource;
pub use source::{FetchError, FetchResult, Health, Source, SourceFuture, SourceValue};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
