//! `cache.yaml`.

mod shared;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::Error;
use crate::pattern::Pattern;

pub use shared::SharedSettings;
#[cfg(feature = "shared")]
pub(crate) use shared::check_bucket;
#[cfg(any(feature = "shared", feature = "flight-sql"))]
pub(crate) use shared::without_secrets;

/// Contents of `cache.yaml`. Each key may be left out; unknown keys are errors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Query results.
    pub query_cache: QueryCache,
    /// HTTP response headers.
    pub http_cache: HttpCache,
    /// Bucket through which machines share results; `None` shares nothing.
    /// [`Cache::open_with`](crate::Cache::open_with) ignores it: the holder of the key calls `Cache::share` with
    /// [`SharedSettings`]`::config`, as ops-layer does.
    pub shared: Option<SharedSettings>,
}

/// Options for query results.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryCache {
    /// `false`: every lookup misses, nothing is stored, and no directory is created.
    pub enabled: bool,
    /// TTL in seconds if nothing else sets one; 0 stores nothing without an explicit TTL.
    pub default_ttl_seconds: u64,
    /// Maximum size of the files in MiB; entries that save least time for their size are evicted first. 0: no files.
    pub max_size_mb: u64,
    /// Memory limit in MiB for results. Half of it, at most 8 MiB, is reserved for encoding and reading; the index of
    /// all entries, including those in files, takes some 400 bytes per entry, at most half. 0: no results in memory;
    /// buffers for reading files of 1 MiB and more stay allocated, up to 64 MiB.
    pub memory_mb: u64,
    /// Format of the files.
    pub codec: Codec,
    /// Durability of the files.
    pub durability: Durability,
    /// Queries whose run in the engine takes longer than this many milliseconds are logged as `slow_query`.
    pub slow_query_ms: u64,
    /// TTL in seconds by pattern of SQL or label. The pattern with
    /// the most literal characters wins, then the shorter TTL.
    #[serde(deserialize_with = "each_once")]
    pub ttls: BTreeMap<String, u64>,
}

/// Parses a map and rejects duplicate keys; otherwise the last one would win silently.
fn each_once<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u64>, D::Error> {
    struct EachOnce;

    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<String, u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of patterns to seconds")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut ttls = BTreeMap::new();
            while let Some((pattern, seconds)) = map.next_entry::<String, u64>()? {
                match ttls.entry(pattern) {
                    Entry::Vacant(place) => place.insert(seconds),
                    Entry::Occupied(known) => {
                        let pattern = known.key();
                        return Err(A::Error::custom(format_args!(
                            "duplicate pattern {pattern:?}"
                        )));
                    }
                };
            }
            Ok(ttls)
        }
    }

    from.deserialize_map(EachOnce)
}

/// Format of data files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Codec {
    /// Parquet (zstd); Arrow IPC for types that Parquet cannot store: unions, intervals, empty structs.
    #[default]
    Parquet,
    /// Arrow IPC: two to three times larger, several times faster to read.
    Ipc,
}

/// Durability of stored results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Durability {
    /// Files are not fsynced. An entry torn by a power cut fails its digest check and counts as a miss.
    #[default]
    None,
    /// Files, directories and invalidations are fsynced, which takes about a hundred times as long: stored results
    /// survive a power cut, and invalidated results do not reappear after one.
    Full,
}

/// `Cache-Control` of responses.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpCache {
    /// `false`: responses are not changed.
    pub enabled: bool,
    /// `max-age` in seconds for paths below `/static/` and `/assets/`.
    pub static_max_age: u64,
    /// Endpoints whose response rarely changes.
    pub stable_endpoints: Vec<StableEndpoint>,
    /// Exact names of the cookies that identify a user or session,
    /// so that the response is `private`. Empty: every cookie does.
    pub session_cookies: Vec<String>,
    /// Request headers besides `Authorization` that carry credentials,
    /// in any case. Unset or without a value: the usual ones.
    #[serde(deserialize_with = "headers_or_usual")]
    pub credential_headers: Vec<String>,
}

/// An endpoint whose response rarely changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StableEndpoint {
    /// The exact path as in requests: percent-encoded. Patterns are rejected.
    pub path: String,
    /// Seconds for which a client may reuse the response.
    pub max_age: u64,
}

impl Default for QueryCache {
    fn default() -> Self {
        Self {
            enabled: true,
            default_ttl_seconds: 3600,
            max_size_mb: 1000,
            memory_mb: 256,
            codec: Codec::default(),
            durability: Durability::default(),
            slow_query_ms: 500,
            ttls: BTreeMap::new(),
        }
    }
}

impl Default for HttpCache {
    fn default() -> Self {
        Self {
            enabled: true,
            static_max_age: 31_536_000,
            stable_endpoints: Vec::new(),
            session_cookies: Vec::new(),
            credential_headers: usual_headers(),
        }
    }
}

/// Commonly used headers that carry credentials.
const CREDENTIAL_HEADERS: [&str; 8] = [
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-access-token",
    "x-amz-security-token",
    "x-goog-iap-jwt-assertion",
    "cf-access-jwt-assertion",
];

fn usual_headers() -> Vec<String> {
    CREDENTIAL_HEADERS.map(str::to_owned).to_vec()
}

/// Parses a list. A key without a value means the usual headers: as an empty
/// list it would make responses to requests with credentials `public`.
fn headers_or_usual<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(from).map(|headers| headers.unwrap_or_else(usual_headers))
}

/// Maximum configurable TTL: ten years.
pub(crate) const MAX_SECONDS: u64 = 315_360_000;

impl Config {
    /// Parses the text of a `cache.yaml`; `name` is used in error messages.
    ///
    /// ```
    /// let config = data_cache::Config::from_yaml("cache.yaml", "query_cache: {max_size_mb: 10}")?;
    /// assert_eq!(config.query_cache.max_size_mb, 10);
    /// assert!(data_cache::Config::from_yaml("cache.yaml", "query_cash: {}").is_err());
    /// # Ok::<(), data_cache::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the text is invalid; the error names the line and, for an unknown key, the closest known one.
    pub fn from_yaml(name: &str, text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let config: Self =
            serde_yaml::from_str(text).map_err(|error| Error::input(format!("{name}: {error}")))?;
        config
            .check()
            .map_err(|problem| Error::input(format!("{name}: {problem}")))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let queries = &self.query_cache;
        if queries.default_ttl_seconds > MAX_SECONDS {
            return Err(format!(
                "query_cache: default_ttl_seconds: {} exceeds the limit of {MAX_SECONDS} (ten years)",
                queries.default_ttl_seconds
            ));
        }
        let mut known: BTreeMap<String, (&String, &u64)> = BTreeMap::new();
        for (pattern, ttl) in &queries.ttls {
            let parsed = Pattern::new(pattern);
            let parsed = parsed.map_err(|error| format!("query_cache: ttls: {error}"))?;
            let before = known.insert(parsed.text().to_owned(), (pattern, ttl));
            if let Some((other, of_other)) = before.filter(|(_, of_other)| *of_other != ttl) {
                return Err(format!(
                    "query_cache: ttls: {other:?} and {pattern:?} are the same pattern, because case and kind of space are ignored, \
                     but have different values: {of_other} and {ttl} seconds"
                ));
            }
            if !(1..=MAX_SECONDS).contains(ttl) {
                return Err(format!(
                    "query_cache: ttls: {pattern:?}: must be between 1 and {MAX_SECONDS} s, got {ttl}"
                ));
            }
        }
        self.http_cache.check()?;
        self.shared.as_ref().map_or(Ok(()), SharedSettings::check)
    }
}

impl HttpCache {
    fn check(&self) -> Result<(), String> {
        for endpoint in &self.stable_endpoints {
            let path = &endpoint.path;
            if !path.starts_with('/') {
                return Err(format!(
                    "http_cache: stable_endpoints: path {path:?} must start with /"
                ));
            }
            if let Some(sign) = path.chars().find(|c| matches!(c, '*' | '?' | '{' | '}')) {
                return Err(format!(
                    "http_cache: stable_endpoints: path {path:?} contains {sign:?}: expected one exact path, not a pattern; \
                     list each endpoint"
                ));
            }
            let is_sent = |c: char| c.is_ascii_graphic() && c != '#';
            let is_dots = |part: &str| part == "." || part == "..";
            if let Some(sign) = path.chars().find(|c| !is_sent(*c)) {
                return Err(format!(
                    "http_cache: stable_endpoints: path {path:?} contains {sign:?}, which requests send percent-encoded; \
                     use the encoded form, such as %20 for a space"
                ));
            }
            if path.split('/').any(is_dots) {
                return Err(format!(
                    "http_cache: stable_endpoints: path {path:?} contains a dot segment, which clients resolve before they send a request"
                ));
            }
            let same = |other: &&StableEndpoint| other.path == *path;
            if self.stable_endpoints.iter().filter(same).count() > 1 {
                return Err(format!(
                    "http_cache: stable_endpoints: duplicate path {path:?}"
                ));
            }
        }
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        for name in &self.credential_headers {
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(format!(
                    "http_cache: credential_headers: {name:?} is not a valid header name; expected a name such as x-api-key"
                ));
            }
        }
        for name in &self.session_cookies {
            // a name that never matches would make responses of a session `public`. Many names in use are not tokens,
            // such as `user[id]`. An asterisk is a valid character, but would be meant as a pattern.
            let is_sent = |c: char| !c.is_whitespace() && !c.is_control() && !";=*".contains(c);
            if name.is_empty() || !name.chars().all(is_sent) {
                return Err(format!(
                    "http_cache: session_cookies: {name:?} is not a valid cookie name; expected one exact name such as sid, \
                     not a pattern"
                ));
            }
        }
        Ok(())
    }
}
