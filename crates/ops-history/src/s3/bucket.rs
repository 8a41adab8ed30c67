//! Calls to a bucket, each within the remaining time.

use std::fs::File;
use std::io::Write;
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
};
use tokio::runtime::Runtime;

use super::http::{Connector, MAX_BODY_BYTES};
use super::prefix::{Prefix, without_secrets};
use crate::Table;
use crate::error::{Error, chain};
use crate::file::name::Name;

/// Maximum number of objects listed below a prefix; more are an error.
const MAX_OBJECTS: usize = 100_000;
/// Bytes of an object read at a time.
const PIECE_BYTES: u64 = 8 << 20;
/// Number of retries of a call.
const RETRIES: usize = 2;
/// Variables that configure credentials. If none is set, the role of the machine is used.
const CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

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
        let mut builder = settings_from_env(prefix.credentials.as_ref().map(|(id, _)| id.as_str()))
            .with_bucket_name(&prefix.bucket)
            .with_http_connector(Connector { deadline })
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES,
                retry_timeout: budget,
            });
        if let Some(endpoint) = &prefix.endpoint {
            // wins over both variables
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
        let endpoint = endpoints
            .iter()
            .find_map(|key| builder.get_config_value(key));
        if let Some(endpoint) = &endpoint {
            let shown = without_secrets(endpoint);
            if !is_url(endpoint) {
                return Err(wrong(format!(
                    "endpoint {shown:?} is not a valid server URL; expected http://HOST:PORT or https://HOST, in the configuration or in \
                     AWS_ENDPOINT_URL"
                )));
            }
            if names_user(endpoint) && !is_unsigned(&builder) {
                return Err(wrong(format!(
                    "endpoint {shown:?} contains a user, which signed requests do not support; set credentials separately or in AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY"
                )));
            }
            builder = builder.with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = &prefix.region {
            builder = builder.with_region(region);
        }
        if let Some((id, secret)) = &prefix.credentials {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret);
        }
        for (key, name) in &HEADER_SETTINGS {
            let value = builder.get_config_value(key).unwrap_or_default();
            if value.contains(char::is_control) {
                return Err(wrong(format!(
                    "the {name} contains a line break or another control character"
                )));
            }
        }
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
        if let (None, Some(region)) = (endpoint, region)
            && !is_url(&format!("https://s3.{region}.amazonaws.com"))
        {
            return Err(wrong(format!(
                "the region {region:?} is not valid in an AWS host name"
            )));
        }
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        Ok(Self {
            store: builder.build().map_err(|error| wrong(chain(&error)))?,
            prefix: Path::parse(&prefix.prefix).map_err(|error| wrong(chain(&error)))?,
            runtime: runtime
                .enable_time()
                .build()
                .map_err(|error| wrong(error.to_string()))?,
            url,
            budget,
            deadline,
            has_credentials: prefix.credentials.is_some()
                || CREDENTIALS
                    .iter()
                    .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())),
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

/// Settings sent in request headers; the client panics if they are not valid there.
const HEADER_SETTINGS: [(AmazonS3ConfigKey, &str); 3] = [
    (AmazonS3ConfigKey::AccessKeyId, "access key id"),
    (AmazonS3ConfigKey::Token, "session token"),
    (AmazonS3ConfigKey::Region, "region"),
];

/// Reads the settings from the AWS variables. An empty one counts as unset, and a session token applies only to the
/// credentials it belongs to.
fn settings_from_env(own_id: Option<&str>) -> AmazonS3Builder {
    let id = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
    let has_other_id = own_id.is_some_and(|own| own != id.trim_end());
    let settings = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        // values read from files end with a line break
        let value = value.trim_end().to_owned();
        let key = name.starts_with("AWS_").then(|| name.to_ascii_lowercase());
        let key: AmazonS3ConfigKey = key?.parse().ok()?;
        let is_foreign_token = has_other_id && key == AmazonS3ConfigKey::Token;
        (!value.is_empty() && !is_foreign_token).then_some((key, value))
    });
    settings.fold(AmazonS3Builder::new(), |builder, (key, value)| {
        builder.with_config(key, value)
    })
}

/// Returns `true` for a URL that requests can be sent to; the client panics on others.
fn is_url(endpoint: &str) -> bool {
    // both parsers have to accept it
    let parsed = endpoint.parse::<http::Uri>();
    let is_http = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    parsed.is_ok_and(|uri| is_http(&uri))
        && url::Url::parse(endpoint).is_ok()
        && !endpoint.contains(['?', '#'])
}

fn names_user(endpoint: &str) -> bool {
    let parsed = endpoint.parse::<http::Uri>();
    parsed.is_ok_and(|uri| uri.authority().is_some_and(|at| at.as_str().contains('@')))
}

/// Returns `true` if `AWS_SKIP_SIGNATURE` is enabled (`1`, `true`, `on`, `yes` or `y`): then the user in the endpoint
/// is sent, for a proxy in front of the bucket.
fn is_unsigned(builder: &AmazonS3Builder) -> bool {
    let skips = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature);
    let skips = skips.unwrap_or_default().to_ascii_lowercase();
    matches!(&*skips, "1" | "true" | "on" | "yes" | "y")
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
