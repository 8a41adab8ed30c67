//! Secrets from the environment, files, AWS SSM, AWS Secrets Manager, a store of your own and `.env`: one call, one order, and always an
//! answer to where a value came from.
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
//! [`get_secret`] and [`get_secret_source`] ask the process's resolver, which configures itself from the environment. Call
//! [`Secrets::validate`] at start: it looks up the whole catalog in bulk and names everything that is missing at once.
//! [`Secrets::report`] shows an operator where each secret comes from, and never what it is.
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
//! Take a `&Secrets` from your caller. There is no global state behind it.
//!
//! # Guarantees
//! - The order is environment, files, SSM, Secrets Manager, stores of your own, `.env`, default. Only a source that *definitely*
//!   has nothing passes the question on (and AWS, if it was not switched on and is not here or refuses the credentials);
//!   denied, throttled, late and malformed are errors, never a silent default. In a bulk, each name has its own answer.
//! - If nothing hints at AWS, no packet is sent for it.
//! - A remote value is at most as old as the caller's time to live (default 300 s), except while its source is
//!   unreachable, throttled or late: then the last good one is served for up to an hour longer. A time to live of zero
//!   accepts nothing older than the call, and nothing that was known before an `invalidate` is served after it.
//! - Any number of callers that miss the same secret cause one lookup. It runs on its own thread with a deadline (5 s), so a
//!   caller that goes away does not cancel it, and no worker of yours waits for the network: a blocking call on a worker of a
//!   multi-thread runtime hands the worker's other tasks on. Every caller has its own timeout, whatever a source, a
//!   listener or another caller does.
//! - A value is announced to the listeners of [`Secrets::on_resolved`] before anybody gets it, and never inside a lookup.
//! - A hit of a cataloged secret from AWS takes a lock of ours that nobody waits for, allocates nothing, and costs little more
//!   than `env::var` and a `HashMap::get` together.
//! - The environment is read at each call, files and `.env` again when they change. The process's environment is never written.
//! - No value, and no part, length or hash of one, is in any `Debug`, `Display`, error, log line, report or metric.
//!
//! # Errors
//! [`Error`] has a [`kind`](Error::kind), names every source that was [`tried`](Error::tried), and says whether
//! to [retry](Error::is_retryable).
//!
//! # Feature flags
//! | feature | default | adds |
//! |---|---|---|
//! | `ssm` | yes | AWS SSM Parameter Store |
//! | `secretsmanager` | yes | AWS Secrets Manager |
//! | `aws-agent` | no | `Config::aws_agent`: the AWS agent or Lambda extension in place of AWS |
//! | `sso` | no | profiles with `sso_session` |
//! | `credentials-process` | no | profiles with `credential_process` |
//! | `vault` | no | `VaultSource`: OpenBao and Vault, over HTTP |
//! | `vault-tls` | no | the same over HTTPS |
//! | `yaml` | yes | the catalog file |
//! | `metrics` | no | `Secrets::publish_metrics` |
//! | `testing` | no | sources in memory that fail on command, a manual clock |
//! | `aws` | | what the two AWS features share; not to be named alone |
//!
//! # When not to use it
//! For configuration that is no secret, use a configuration crate. For leased credentials, use the client of the service.

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
