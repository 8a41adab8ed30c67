//! A bucket of S3 or of an S3-compatible server.

use std::borrow::Cow;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error as StoreError, GetOptions, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig, UpdateVersion,
};

use super::config::SharedConfig;
use super::http::{Connector, is_too_large};
use super::store::{Failure, MAX_OBJECT_BYTES, Seen, Store, Tag};
use crate::config::without_secrets;
use crate::error::Error;
use crate::key::Key;

/// Minimum pause before the second try.
const PAUSE: Duration = Duration::from_millis(25);
/// Text of the client before the status of a response.
const STATUS: &str = "Server returned non-2xx status code: ";
/// Maximum number of characters of a reported error.
const MAX_ERROR_CHARS: usize = 600;
/// Maximum size of a note in bytes; a larger one is invalid.
const MAX_NOTE_BYTES: u64 = 16 << 10;
/// Maximum pause before the second try. `object_store` panics unless it is longer than the minimum.
const MAX_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct S3 {
    bucket: AmazonS3,
    prefix: String,
}

impl S3 {
    pub(super) fn new(config: &SharedConfig) -> Result<Self, Error> {
        let mut builder = builder_from_env(config.credentials.as_ref().map(|(id, _)| id.as_str()))
            .with_bucket_name(&config.bucket)
            .with_http_connector(Connector(config.patience))
            .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: PAUSE,
                    max_backoff: MAX_PAUSE,
                    base: 2.0,
                },
                max_retries: 1,
                retry_timeout: 5 * config.patience,
            });
        if let Some(endpoint) = &config.endpoint {
            // takes precedence over either variable
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
        let endpoint = endpoints
            .iter()
            .find_map(|key| builder.get_config_value(key));
        if let Some(endpoint) = &endpoint {
            let shown = without_secrets(endpoint);
            if !is_url(endpoint) {
                return Err(Error::input(format!(
                    "shared tier: endpoint {shown:?} is not a valid server URL; expected http://HOST:PORT or https://HOST, in the \
                     configuration or in AWS_ENDPOINT_URL"
                )));
            }
            if names_user(endpoint) && !is_unsigned(&builder) {
                return Err(Error::input(format!(
                    "shared tier: endpoint {shown:?} contains a user, which signed requests do not support; set credentials in the configuration or in \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )));
            }
            builder = builder.with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        if let Some((id, secret)) = &config.credentials {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret);
        }
        for (key, name) in &HEADER_SETTINGS {
            let value = builder.get_config_value(key).unwrap_or_default();
            if value.contains(char::is_control) {
                let why = "contains a line break or another control character";
                return Err(Error::input(format!("shared tier: the {name} {why}")));
            }
        }
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
        if let (None, Some(region)) = (endpoint, region)
            && !is_url(&format!("https://s3.{region}.amazonaws.com"))
        {
            return Err(Error::input(format!(
                "shared tier: the region {region:?} is not valid in an AWS host name"
            )));
        }
        let bucket = builder.build().map_err(|error| {
            Error::input(format!("shared tier: bucket {:?}: {error}", config.bucket))
        })?;
        Ok(Self {
            bucket,
            prefix: config.prefix.trim_matches('/').to_owned(),
        })
    }

    /// Returns the path of a result. Keys are hexadecimal digits of a digest, which spreads names over prefixes.
    fn path(&self, key: &Key) -> Path {
        Path::from(format!("{}/v1/{key}", self.prefix))
    }

    fn note(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    fn delete(&self, path: &Path) -> Result<(), Failure> {
        wait_for_write(async {
            match self.bucket.delete(path).await {
                Err(StoreError::NotFound { .. }) => Ok(()),
                done => done,
            }
        })
    }
}

impl Store for S3 {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Failure> {
        let path = self.path(key);
        wait(async {
            let found = match self.bucket.get(&path).await {
                Ok(found) => found,
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            if found.meta.size > MAX_OBJECT_BYTES {
                // not written by this crate: an empty object is refused
                return Ok(Some(Bytes::new()));
            }
            found.bytes().await.map(Some)
        })
    }

    fn put(&self, key: &Key, object: Bytes) -> Result<(), Failure> {
        let path = self.path(key);
        wait_for_write(async { self.bucket.put(&path, object.into()).await.map(|_| ()) })
    }

    fn forget(&self, key: &Key) -> Result<(), Failure> {
        self.delete(&self.path(key))
    }

    fn probe(&self) -> Result<(), Failure> {
        let path = Path::from(format!("{}/probe", self.prefix));
        wait(async {
            match self.bucket.head(&path).await {
                Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn read_note(&self, name: &str, known: Option<&Tag>) -> Result<Seen, Failure> {
        let path = self.note(name);
        let options = GetOptions {
            if_none_match: known.map(|tag| tag.0.clone()),
            ..GetOptions::default()
        };
        wait(async {
            let found = match self.bucket.get_opts(&path, options).await {
                Ok(found) => found,
                Err(StoreError::NotFound { .. }) => return Ok(Seen::Absent),
                Err(StoreError::NotModified { .. }) => return Ok(Seen::Same),
                Err(error) => return Err(error),
            };
            let Some(tag) = found.meta.e_tag.clone().map(Tag) else {
                return no_tag();
            };
            let bytes = match found.meta.size > MAX_NOTE_BYTES {
                true => Bytes::new(),
                false => found.bytes().await?,
            };
            // not every store evaluates the condition of a read
            Ok(match known == Some(&tag) {
                true => Seen::Same,
                false => Seen::Found(bytes, tag),
            })
        })
    }

    fn write_if(
        &self,
        name: &str,
        note: Bytes,
        expected: Option<&Tag>,
    ) -> Result<Option<Tag>, Failure> {
        let path = self.note(name);
        let mode = match expected {
            None => PutMode::Create,
            Some(tag) => PutMode::Update(UpdateVersion {
                e_tag: Some(tag.0.clone()),
                version: None,
            }),
        };
        let options = PutOptions::from(mode);
        wait_for_write(async {
            match self.bucket.put_opts(&path, note.into(), options).await {
                Ok(written) => match written.e_tag {
                    Some(tag) => Ok(Some(Tag(tag))),
                    None => no_tag(),
                },
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        self.delete(&self.note(name))
    }
}

/// Settings that are sent in request headers; the client panics if they are not valid there.
const HEADER_SETTINGS: [(AmazonS3ConfigKey, &str); 3] = [
    (AmazonS3ConfigKey::AccessKeyId, "access key id"),
    (AmazonS3ConfigKey::Token, "session token"),
    (AmazonS3ConfigKey::Region, "region"),
];

/// Reads the settings from AWS variables. An empty one counts as unset,
/// and a session token applies only to the credentials beside it.
fn builder_from_env(own_id: Option<&str>) -> AmazonS3Builder {
    let id = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
    let has_others = own_id.is_some_and(|own| own != id.trim_end());
    let settings = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        // removes the line break of the file that it came from
        let value = value.trim_end().to_owned();
        let key = name.starts_with("AWS_").then(|| name.to_ascii_lowercase());
        let key: AmazonS3ConfigKey = key?.parse().ok()?;
        let is_others = has_others && key == AmazonS3ConfigKey::Token;
        (!value.is_empty() && !is_others).then_some((key, value))
    });
    settings.fold(AmazonS3Builder::new(), |builder, (key, value)| {
        builder.with_config(key, value)
    })
}

/// Returns `true` for an address that requests can be built from; the client panics on others.
fn is_url(endpoint: &str) -> bool {
    // both parsers must accept it
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

/// Returns `true` if `AWS_SKIP_SIGNATURE` is set: the user of an
/// endpoint is then sent, as a server before the bucket may require.
fn is_unsigned(builder: &AmazonS3Builder) -> bool {
    let skips = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature);
    let skips = skips.unwrap_or_default().to_ascii_lowercase();
    matches!(&*skips, "1" | "true" | "on" | "yes" | "y")
}

fn no_tag<T>() -> Result<T, StoreError> {
    Err(StoreError::Generic {
        store: "S3",
        source: "the response has no ETag".into(),
    })
}

/// Waits on this thread, which belongs to the tier.
fn wait<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    outcome(work)?.map_err(|error| Failure {
        is_denied: false,
        ..failure(&error)
    })
}

/// [`wait`] for a write, which may be denied although reads are not.
fn wait_for_write<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    outcome(work)?.map_err(|error| failure(&error))
}

fn failure(error: &StoreError) -> Failure {
    Failure {
        text: error_text(&error.to_string()),
        is_denied: matches!(
            error,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }
        ),
        is_too_large: is_too_large(error),
    }
}

/// Returns the text of an error, starting with the status of the response. Of an XML document it contains only code and
/// message: the rest repeats the request, including the token of its session.
fn error_text(error: &str) -> String {
    let (request, answer) = error.split_once(STATUS).unwrap_or(("", error));
    let mut text = match answer.split_once(": ") {
        Some((status, body)) if body.trim_start().starts_with('<') => {
            let part = |name: &str| {
                let (_, text) = body.split_once(&format!("<{name}>"))?;
                text.split('<').next().map(str::trim)
            };
            let parts = [Some(status), part("Code"), part("Message")];
            parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        _ => answer.trim_end_matches([':', ' ']).to_owned(),
    };
    if !request.is_empty() {
        text = format!("{text}; {}", request.trim_end_matches([' ', '-']));
    }
    let words = text.split(' ').map(|word| match word.contains("://") {
        true => without_secrets(word).into(),
        false => Cow::Borrowed(word),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    text.chars().take(MAX_ERROR_CHARS).collect()
}

fn outcome<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<Result<T, StoreError>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Failure::new(error.to_string()))?;
    let done = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
    done.map_err(|_| Failure::new("the client panicked"))
}
