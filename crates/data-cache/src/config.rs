//! `cache.yaml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Error;
use crate::pattern::Pattern;

/// The whole of `cache.yaml`; each key may be left out, an unknown one is refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Results of queries.
    pub query_cache: QueryCache,
    /// Headers of HTTP responses.
    pub http_cache: HttpCache,
}

/// How results of queries are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryCache {
    /// `false`: every lookup misses and nothing is stored.
    pub enabled: bool,
    /// Seconds an entry lives when nothing else says so.
    pub default_ttl_seconds: u64,
    /// MiB of files that may be kept; the least recently used go first.
    pub max_size_mb: u64,
    /// Pattern of SQL or label → seconds. The pattern with most literal characters wins, then the shorter time.
    pub ttls: BTreeMap<String, u64>,
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
}

/// One endpoint whose answer rarely changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StableEndpoint {
    /// The exact path.
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
        }
    }
}

impl Config {
    /// Reads the text of a `cache.yaml`; `name` is what messages call it.
    ///
    /// ```
    /// let config = data_cache::Config::from_yaml("cache.yaml", "query_cache: {max_size_mb: 10}")?;
    /// assert_eq!(config.query_cache.max_size_mb, 10);
    /// assert!(data_cache::Config::from_yaml("cache.yaml", "query_cash: {}").is_err());
    /// # Ok::<(), data_cache::Error>(())
    /// ```
    pub fn from_yaml(name: &str, text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let config: Self =
            serde_yaml::from_str(text).map_err(|error| Error::input(format!("{name}: {error}")))?;
        for (pattern, ttl) in &config.query_cache.ttls {
            Pattern::new(pattern)
                .map_err(|error| Error::input(format!("{name}: ttls: {error}")))?;
            if *ttl == 0 {
                return Err(Error::input(format!(
                    "{name}: ttls: {pattern:?}: 0 seconds; accepted are 1 and more"
                )));
            }
        }
        if let Some(endpoint) = config
            .http_cache
            .stable_endpoints
            .iter()
            .find(|e| !e.path.starts_with('/'))
        {
            return Err(Error::input(format!(
                "{name}: stable_endpoints: path {:?} must start with /",
                endpoint.path
            )));
        }
        Ok(config)
    }
}

impl QueryCache {
    /// The time that the operator wrote down for this query.
    pub(crate) fn pattern_ttl(&self, sql: &str) -> Option<u64> {
        let matching = self.ttls.iter().filter_map(|(text, ttl)| {
            let pattern = Pattern::new(text).ok()?;
            pattern
                .matches(sql)
                .then_some((pattern.literals(), std::cmp::Reverse(*ttl)))
        });
        matching.max().map(|(_, ttl)| ttl.0)
    }
}
