//! Calls to a bucket, each within the remaining time.

use std::fs::File;
use std::io::Write;
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
};
use tokio::runtime::Runtime;

use super::http::{Connector, MAX_BODY_BYTES};
use super::prefix::Prefix;
use super::settings;
use crate::Table;
use crate::error::{Error, chain};
use crate::file::name::Name;

/// Maximum number of objects listed below a prefix; more are an error.
const MAX_OBJECTS: usize = 100_000;
/// Bytes of an object read at a time.
const PIECE_BYTES: u64 = 8 << 20;
/// Number of retries of a call.
const RETRIES: usize = 2;

pub(super) struct Bucket {
    store: AmazonS3,
    prefix: Path,
    url: String,
    runtime: Runtime,
    budget: Duration,
    deadline: Instant,
    has_credentials: bool,
}

/// An object whose name is that of a history file.
pub(super) struct Object {
    pub(super) name: Name,
    pub(super) path: Path,
    pub(super) bytes: u64,
}

impl Bucket {
    pub(super) fn open(prefix: &Prefix, budget: Duration) -> Result<Self, Error> {
        let url = prefix.to_string();
        let wrong = |why: String| Error::bucket(&url, why);
        let now = Instant::now();
        let deadline = now.checked_add(budget).unwrap_or(now);
        let client = settings::client(prefix)
            .map_err(wrong)?
            .with_http_connector(Connector { deadline })
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES,
                retry_timeout: budget,
            });
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        Ok(Self {
            store: client.build().map_err(|error| wrong(chain(&error)))?,
            prefix: Path::parse(&prefix.prefix).map_err(|error| wrong(chain(&error)))?,
            runtime: runtime
                .enable_time()
                .build()
                .map_err(|error| wrong(error.to_string()))?,
            url,
            budget,
            deadline,
            has_credentials: settings::has_credentials(prefix),
        })
    }

    /// Lists the objects named like history files, in any folder below the prefix.
    pub(super) fn list(&self) -> Result<Vec<Object>, Error> {
        let mut listed = self.store.list(Some(&self.prefix));
        let mut found = Vec::new();
        for count in 0.. {
            let next = self.wait(listed.try_next())?;
            let Some(object) = next else { break };
            if count == MAX_OBJECTS {
                let why =
                    format!("more than {MAX_OBJECTS} objects below this prefix; use a longer one");
                return Err(Error::bucket(&self.url, why));
            }
            found.extend(parse_object(object));
        }
        Ok(found)
    }

    /// Writes an object to a file piece by piece; `false` if the object was removed meanwhile.
    pub(super) fn read(&self, object: &Object, to: &FilePath) -> Result<bool, Error> {
        let failed = |error| Error::io(to, "write the copy", error);
        let mut options = crate::file::directory::private_options();
        let mut file: File = options.create_new(true).open(to).map_err(failed)?;
        let mut from = 0;
        while from < object.bytes {
            let end = object.bytes.min(from + PIECE_BYTES);
            let piece = self.store.get_range(&object.path, from..end);
            let piece = match self.runtime.block_on(piece) {
                Ok(piece) => piece,
                Err(StoreError::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(self.failed(&error)),
            };
            if piece.len() as u64 != end - from {
                let why = format!("{} is shorter than its listed size", object.path);
                return Err(Error::bucket(&self.url, why));
            }
            file.write_all(&piece).map_err(failed)?;
            from = end;
        }
        Ok(true)
    }

    /// Writes a file as an object; returns its bytes.
    pub(super) fn write(&self, path: &Path, from: &FilePath) -> Result<u64, Error> {
        let failed = |error| Error::io(from, "read the file", error);
        let bytes = std::fs::metadata(from).map_err(failed)?.len();
        if bytes > MAX_BODY_BYTES {
            let why = format!(
                "{bytes} bytes exceed the limit of {MAX_BODY_BYTES} for writing to a bucket"
            );
            return Err(Error::unreadable(from, why));
        }
        let bytes = std::fs::read(from).map_err(failed)?;
        let length = bytes.len() as u64;
        self.wait(self.store.put(path, bytes.into()))?;
        Ok(length)
    }

    pub(super) fn path_of(&self, name: &Name) -> Path {
        let folder = self.prefix.clone().join(name.table.as_str());
        folder.join(name.text())
    }

    /// Returns the URL of an object, for messages.
    pub(super) fn url_of(&self, object: &Object) -> String {
        let path = object.path.as_ref().strip_prefix(self.prefix.as_ref());
        let path = path.unwrap_or_default().trim_start_matches('/');
        format!("{}/{path}", self.url)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn wait<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, Error> {
        let done = self.runtime.block_on(call);
        done.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &StoreError) -> Error {
        if Instant::now() >= self.deadline {
            return Error::bucket_timed_out(&self.url, self.budget);
        }
        let hint = match self.has_credentials {
            true => "",
            false => "; AWS_ACCESS_KEY_ID is not set, so the role of this machine was tried",
        };
        Error::bucket(&self.url, format!("{error}{hint}"))
    }
}

/// Returns the object if the last two parts of its path are a table and the name of a history file.
fn parse_object(object: ObjectMeta) -> Option<Object> {
    let mut parts = object.location.as_ref().rsplit('/');
    let (file, folder) = (parts.next()?, parts.next()?);
    let mut tables = Table::ALL.iter();
    let table = tables.find(|table| table.as_str() == folder)?;
    Some(Object {
        name: Name::parse(*table, file)?,
        bytes: object.size,
        path: object.location,
    })
}
