//! Settings of the shared tier.

use std::fmt;
use std::time::Duration;

use super::frame::Seal;
use crate::config::{check_bucket, without_secrets};
use crate::error::Error;

/// Minimum length of a key.
const MIN_KEY_BYTES: usize = 16;
/// Minimum compute time of results that are written.
const MIN_COMPUTE: Duration = Duration::from_millis(200);

/// Time for which a lease that is not renewed keeps other machines from computing.
const LEASE: Duration = Duration::from_secs(5);
/// Interval between two reads of the epoch.
const POLL: Duration = Duration::from_secs(2);
/// Maximum time that a lookup waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// Options for the bucket through which machines share results, and the key that authenticates their writers.
///
/// ```
/// use data_cache::SharedConfig;
///
/// let config = SharedConfig::s3("results").prefix("warehouse").key("32 bytes that all machines know ..");
/// assert!(!format!("{config:?}").contains("32 bytes"));
/// ```
#[derive(Clone)]
pub struct SharedConfig {
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) credentials: Option<(String, String)>,
    pub(super) min_compute: Duration,
    pub(super) lease: Duration,
    pub(super) is_computed_shared: bool,
    pub(super) poll: Duration,
    pub(super) patience: Duration,
    key: Option<Vec<u8>>,
    is_unauthenticated: bool,
}

impl SharedConfig {
    /// Creates options for an S3 bucket. Region, endpoint and credentials that are unset come from `AWS_REGION`,
    /// `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and the like, or from the machine's role.
    pub fn s3(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: "data-cache".to_owned(),
            endpoint: None,
            region: None,
            credentials: None,
            min_compute: MIN_COMPUTE,
            lease: LEASE,
            is_computed_shared: false,
            poll: POLL,
            patience: PATIENCE,
            key: None,
            is_unauthenticated: false,
        }
    }

    /// Sets the first part of object names; default `data-cache`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the URL of an S3-compatible server.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Sets the region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the access key and its secret.
    #[must_use]
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.credentials = Some((id.into(), secret.into()));
        self
    }

    /// Sets the authentication key: at least 16 bytes, the same on
    /// all machines. An object sealed with another key is a miss.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// Accepts objects without authentication: anyone who can write to the bucket decides which results are returned.
    #[must_use]
    pub fn unauthenticated(mut self) -> Self {
        self.is_unauthenticated = true;
        self
    }

    /// Sets the minimum compute time of shared results; default 200 ms, since reading one takes 50 to 150 ms.
    /// Statements whose recent runs took less, whatever their literals, are neither looked up nor written.
    #[must_use]
    pub fn min_compute(mut self, min_compute: Duration) -> Self {
        self.min_compute = min_compute;
        self
    }

    /// Sets how long a machine that died during a computation
    /// keeps others waiting; default 5 s, accepted are 1 to 60 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Also shares results of `set`, `get_or_compute` and cached functions. Only the application knows what such a
    /// result depends on: the same text, or function and arguments, must mean the same on all machines. An invalidation
    /// on one machine makes all of these results unreachable on all, within 2 s plus the response time of the bucket,
    /// 30 s at most; a machine that cannot reach the bucket for 30 s neither uses nor stores such results. A `set` that
    /// replaces a result is visible to other machines once their copy expires or is invalidated.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.is_computed_shared = true;
        self
    }

    /// Sets the interval between reads of the epoch, so that tests need not wait.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// Sets how long a lookup waits for the bucket, and the time of each
    /// try in proportion, so that a busy machine does not affect tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    pub(super) fn seal(&self) -> Result<Seal, Error> {
        match (&self.key, self.is_unauthenticated) {
            (Some(_), true) => Err(Error::input(
                "shared tier: both a key and unauthenticated are set; expected one of them",
            )),
            (None, true) => Ok(Seal::Unkeyed),
            (None, false) => Err(Error::input(
                "shared tier: no key for the seal; set one of at least 16 bytes, or accept objects from anyone with \
                 unauthenticated",
            )),
            (Some(key), false) if key.len() < MIN_KEY_BYTES => Err(Error::input(format!(
                "shared tier: a key of {} bytes is too short; expected at least {MIN_KEY_BYTES}",
                key.len()
            ))),
            (Some(key), false) => {
                Seal::keyed(key).ok_or_else(|| Error::input("shared tier: invalid key"))
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_bucket(&self.bucket)
            .map_err(|problem| Error::input(format!("shared tier: {problem}")))?;
        if self.prefix.trim_matches('/').is_empty() {
            return Err(Error::input(
                "shared tier: the prefix is empty; expected a name such as data-cache",
            ));
        }
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&self.lease) {
            return Err(Error::input(format!(
                "shared tier: the lease must be between 1 and 60 s, got {:?}",
                self.lease
            )));
        }
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        match &self.endpoint {
            Some(endpoint) if !is_url(endpoint) => Err(Error::input(format!(
                "shared tier: endpoint {:?} must start with http:// or https://",
                without_secrets(endpoint)
            ))),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for SharedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConfig")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint.as_deref().map(without_secrets))
            .field("region", &self.region)
            .field("min_compute", &self.min_compute)
            .field("lease", &self.lease)
            .field("is_computed_shared", &self.is_computed_shared)
            .field("is_unauthenticated", &self.is_unauthenticated)
            .finish_non_exhaustive()
    }
}
