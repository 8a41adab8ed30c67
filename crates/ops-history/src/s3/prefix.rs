use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::bucket::Bucket;
use super::fetch::{self, LocalCopy, Wanted};
use crate::archive::{Moved, copy_all};
use crate::error::Error;

/// Part of a bucket that holds history files.
///
/// ```
/// use ops_history::s3::Prefix;
///
/// let prefix = Prefix::parse("s3://telemetry/shop/history")?.region("eu-central-1");
/// assert_eq!(prefix.to_string(), "s3://telemetry/shop/history");
/// # Ok::<(), ops_history::Error>(())
/// ```
#[derive(Clone)]
pub struct Prefix {
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) credentials: Option<(String, String)>,
}

impl Prefix {
    /// Parses `s3://BUCKET/PREFIX`. Unset region, endpoint and credentials come from `AWS_REGION`, `AWS_ENDPOINT_URL`,
    /// `AWS_ACCESS_KEY_ID` and related variables, or from the machine's role.
    ///
    /// # Errors
    ///
    /// Fails if the URL has another form.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::bucket(
                &without_secrets(url),
                format!("{why}; expected s3://BUCKET/PREFIX"),
            )
        };
        let Some(rest) = url.strip_prefix("s3://") else {
            return Err(wrong("the URL does not begin with s3://"));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_dots = bucket == "." || bucket == "..";
        if bucket.is_empty() || is_dots || !bucket.chars().all(is_name) {
            return Err(wrong("invalid bucket name"));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: None,
            region: None,
            credentials: None,
        })
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

    /// Sets the access key id and its secret.
    #[must_use]
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.credentials = Some((id.into(), secret.into()));
        self
    }

    /// Copies the wanted files to a temporary directory, which is removed when the returned value is dropped. Blocks.
    ///
    /// A file whose checksum is wrong is ignored and reported in [`LocalCopy::skipped`]; files that were merged into
    /// others are not copied.
    ///
    /// # Errors
    ///
    /// Fails if the bucket is unreachable or rejects a request, has no history files, a limit is exceeded, or there is
    /// no space.
    pub fn fetch(&self, wanted: &Wanted) -> Result<LocalCopy, Error> {
        let mut copies = fetch(std::slice::from_ref(self), wanted)?;
        let none = || Error::bucket(&self.to_string(), "nothing was copied");
        copies.pop().ok_or_else(none)
    }

    /// Copies the files of the hours from `since` to `until` into the bucket, within `budget`. Blocks. Objects that
    /// already exist are not overwritten. The directories may be written to meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if a directory cannot be listed, a file cannot be read, or the bucket is unreachable or rejects a request.
    pub fn export(
        &self,
        dirs: &[impl AsRef<Path>],
        since: SystemTime,
        until: SystemTime,
        budget: Duration,
    ) -> Result<Moved, Error> {
        let dirs: Vec<&Path> = dirs.iter().map(AsRef::as_ref).collect();
        on_separate_thread(&self.to_string(), || {
            let bucket = Bucket::open(self, budget)?;
            let existing = bucket.list()?;
            let mut existing: BTreeSet<_> =
                existing.into_iter().map(|object| object.path).collect();
            copy_all(&dirs, since, until, |one| {
                let path = bucket.path_of(&one.name);
                if existing.contains(&path) {
                    return Ok(None);
                }
                let bytes = bucket.write(&path, &one.path)?;
                existing.insert(path);
                Ok(Some(bytes))
            })
        })
    }
}

/// Copies the wanted files of several prefixes, as [`Prefix::fetch`] does, with limits that apply to all of them
/// together. Nothing is copied if the total exceeds the limit.
///
/// # Errors
///
/// Fails as [`Prefix::fetch`] does.
pub fn fetch(prefixes: &[Prefix], wanted: &Wanted) -> Result<Vec<LocalCopy>, Error> {
    let urls: Vec<_> = prefixes.iter().map(Prefix::to_string).collect();
    on_separate_thread(&urls.join(", "), || fetch::fetch(prefixes, wanted))
}

/// Runs `work` on a separate thread: the caller's may belong to an async runtime.
fn on_separate_thread<T: Send>(
    url: &str,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("ops-history-s3".to_owned());
        let thread = thread.spawn_scoped(scope, work);
        let thread = thread.map_err(|error| Error::bucket(url, error.to_string()))?;
        let done = thread.join();
        done.unwrap_or_else(|_| Err(Error::bucket(url, "the client panicked")))
    })
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, .. } = self;
        match prefix.as_str() {
            "" => write!(f, "s3://{bucket}"),
            prefix => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefix")
            .field("url", &self.to_string())
            .field("endpoint", &self.endpoint.as_deref().map(without_secrets))
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Removes user, password, query and fragment of a URL, for messages.
pub(super) fn without_secrets(url: &str) -> String {
    let scheme = url.find("://").map_or("", |at| &url[..at + 3]);
    let (before, more) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    // a password may contain `?` or `#`
    if more.contains('@') {
        return format!("{scheme}[REDACTED]");
    }
    let hidden = if more.is_empty() { "" } else { "?[REDACTED]" };
    match before.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}[REDACTED]@{host}{hidden}"),
        None => format!("{before}{hidden}"),
    }
}
