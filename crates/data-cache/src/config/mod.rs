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

/// The whole of `cache.yaml`; each key may be left out, an unknown one is refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Results of queries.
    pub query_cache: QueryCache,
    /// Headers of HTTP responses.
    pub http_cache: HttpCache,
    /// Bucket that machines share results through; `None` shares nothing. [`Cache::open_with`](crate::Cache::open_with) does not
    /// look at it: whoever has the key calls `Cache::share` with [`SharedSettings`]`::config`, as ops-layer does.
    pub shared: Option<SharedSettings>,
}

/// Options for results of queries.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryCache {
    /// `false`: every lookup misses, nothing is stored, and no directory is made.
    pub enabled: bool,
    /// Seconds an entry lives when nothing else says so; 0 stores nothing of its own accord.
    pub default_ttl_seconds: u64,
    /// MiB of files of entries that may be kept; those go first that save least time for their bytes. 0: no files.
    pub max_size_mb: u64,
    /// MiB of memory for results that are kept there as well. Half of it, 8 MiB at most, is left for encoding and reading; the
    /// index of what is kept, in files too, takes some 400 bytes of it for each entry, up to half. 0: none are kept.
    pub memory_mb: u64,
    /// Format of the files.
    pub codec: Codec,
    /// Durability of the files.
    pub durability: Durability,
    /// Queries that take longer than this are logged as `slow_query`.
    pub slow_query_ms: u64,
    /// Pattern of SQL or label → seconds. The pattern with most literal characters wins, then the shorter time.
    #[serde(deserialize_with = "each_once")]
    pub ttls: BTreeMap<String, u64>,
}

/// Reads a map and refuses a key that is there twice, of which the last one would count silently.
fn each_once<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u64>, D::Error> {
    struct EachOnce;

    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<String, u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("patterns with seconds")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut ttls = BTreeMap::new();
            while let Some((pattern, seconds)) = map.next_entry::<String, u64>()? {
                match ttls.entry(pattern) {
                    Entry::Vacant(place) => place.insert(seconds),
                    Entry::Occupied(known) => {
                        let told = known.key();
                        return Err(A::Error::custom(format_args!(
                            "{told:?} is given twice; accepted is each pattern once"
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
    /// Parquet (zstd), and Arrow IPC for what Parquet cannot hold: unions, intervals, empty structs.
    #[default]
    Parquet,
    /// Arrow IPC: two to three times larger, several times quicker to read.
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
    /// Files, folders and invalidations are fsynced, which takes about a hundred times as long: what was kept survives a power
    /// cut, and nothing that was invalidated comes back after one.
    Full,
}

/// Which responses get which `Cache-Control`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpCache {
    /// `false`: responses pass untouched.
    pub enabled: bool,
    /// Seconds for paths below `/static/` and `/assets/`.
    pub static_max_age: u64,
    /// Endpoints whose answer rarely changes.
    pub stable_endpoints: Vec<StableEndpoint>,
    /// The cookies that make a request somebody's own, by their exact names, so that the answer is `private`. Empty: every
    /// cookie does.
    pub session_cookies: Vec<String>,
    /// Request headers beside `Authorization` that make a request somebody's own, in any case. Left out, or without a value: the
    /// usual ones.
    #[serde(deserialize_with = "headers_or_usual")]
    pub credential_headers: Vec<String>,
}

/// One endpoint whose answer rarely changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StableEndpoint {
    /// The exact path, as requests have it: percent-encoded. A pattern is refused.
    pub path: String,
    /// Seconds a client may reuse the answer.
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

/// Headers that carry credentials in common use.
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

/// Reads a list: a key without a value would be an empty one, and answers to those who sent a credential `public`.
fn headers_or_usual<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(from).map(|headers| headers.unwrap_or_else(usual_headers))
}

/// Longest time to live that may be configured or asked for: ten years.
pub(crate) const MAX_SECONDS: u64 = 315_360_000;

impl Config {
    /// Reads the text of a `cache.yaml`; `name` is what messages call it.
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
    /// Fails if the text cannot be understood; the error names the line, and for an unknown key the nearest one.
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
                "query_cache: default_ttl_seconds: {} is more than ten years ({MAX_SECONDS})",
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
                    "query_cache: ttls: {other:?} and {pattern:?} are one pattern, since case and kind of space do not matter; \
                     {of_other} and {ttl} seconds are given for it"
                ));
            }
            if !(1..=MAX_SECONDS).contains(ttl) {
                return Err(format!(
                    "query_cache: ttls: {pattern:?}: {ttl} seconds; accepted are 1 to {MAX_SECONDS}"
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
                    "http_cache: stable_endpoints: path {path:?} has {sign:?}: it is one exact path, not a pattern; \
                     list each endpoint"
                ));
            }
            let is_sent = |c: char| c.is_ascii_graphic() && c != '#';
            let is_dots = |part: &str| part == "." || part == "..";
            if let Some(sign) = path.chars().find(|c| !is_sent(*c)) {
                return Err(format!(
                    "http_cache: stable_endpoints: path {path:?} has {sign:?}, which no request sends as it is; accepted is \
                     its percent-encoded form, such as %20 for a space"
                ));
            }
            if path.split('/').any(is_dots) {
                return Err(format!(
                    "http_cache: stable_endpoints: path {path:?} has a segment of dots, which clients resolve before they ask"
                ));
            }
            let same = |other: &&StableEndpoint| other.path == *path;
            if self.stable_endpoints.iter().filter(same).count() > 1 {
                return Err(format!(
                    "http_cache: stable_endpoints: path {path:?} is there twice"
                ));
            }
        }
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        for name in &self.credential_headers {
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(format!(
                    "http_cache: credential_headers: {name:?} is no name of a header, such as x-api-key"
                ));
            }
        }
        for name in &self.session_cookies {
            // one that never matches would have the answers of a session `public`; many that are no tokens exist, such as
            // `user[id]`; an asterisk is allowed, and meant as a pattern
            let is_sent = |c: char| !c.is_whitespace() && !c.is_control() && !";=*".contains(c);
            if name.is_empty() || !name.chars().all(is_sent) {
                return Err(format!(
                    "http_cache: session_cookies: {name:?} is no name of a cookie, such as sid; it is one exact name, not a \
                     pattern"
                ));
            }
        }
        Ok(())
    }
}
