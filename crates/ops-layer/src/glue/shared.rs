use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use data_cache::{Cache, Config as Settings};

use super::secrets;
use crate::findings::snapshot::Shared as Seen;
use crate::{Config, Error};

/// Bucket through which machines share results, if one is configured.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// Secret of its key, if the source of that secret was unavailable: sharing is then off.
    missing_key: Option<String>,
    open_since: Mutex<Option<SystemTime>>,
}

impl Bucket {
    /// Shares through the bucket configured in code or in the section `shared` of cache.yaml. Its key is a
    /// secret: the start fails if no source has it, and results stay on this machine if a source is unavailable.
    pub(crate) fn join(
        cache: &Cache,
        settings: &Settings,
        config: &Config,
        secrets: &secrets::Part,
    ) -> Result<Self, Error> {
        let failed = |error| Error::new("cache", error);
        if let Some(shared) = &config.shared {
            cache.share(shared).map_err(failed)?;
            return Ok(Self::default());
        }
        let Some(shared) = &settings.shared else {
            return Ok(Self::default());
        };
        let key = match &shared.key_secret {
            None => None,
            Some(name) => match secrets.value(name)? {
                Some(key) => Some(key),
                None => {
                    tracing::error!(
                        target: "ops_layer", secret = name.as_str(),
                        effect = "results are not shared with other machines until the next start", "shared_key_not_resolved"
                    );
                    return Ok(Self {
                        missing_key: Some(name.clone()),
                        ..Self::default()
                    });
                }
            },
        };
        let shared = shared.config(key.as_deref().map(str::as_bytes));
        cache.share(&shared).map_err(failed)?;
        Ok(Self::default())
    }

    /// Reads its state. Called once a second, so that the start of an outage is known to a second.
    pub(crate) fn look(&self, cache: &Cache) -> Option<Seen> {
        let Some(stats) = cache.shared_stats() else {
            let missing_key = Some(self.missing_key.clone()?);
            return Some(Seen {
                missing_key,
                ..Seen::default()
            });
        };
        let mut since = self
            .open_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *since = match (stats.is_open, *since) {
            (false, _) => None,
            (true, None) => Some(SystemTime::now()),
            (true, known) => known,
        };
        Some(Seen {
            missing_key: None,
            open_since: *since,
            is_unconditional: stats.is_conditional == Some(false),
            failed: stats.failed,
            dropped: stats.dropped + stats.write_failed,
        })
    }
}

#[cfg(feature = "secrets")]
#[cfg(test)]
mod tests {
    use data_cache::SharedConfig;
    use ops_secrets::{AwsMode, Secrets};

    use super::*;

    const KEY: (&str, &str) = ("SHOP_SHARED_KEY", "a key of 24 bytes, all of");

    /// Starts as a program with these variables would.
    fn join(
        yaml: &str,
        code: Option<SharedConfig>,
        variables: &[(&str, &str)],
    ) -> Result<Cache, Error> {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::from_yaml("cache.yaml", yaml).unwrap();
        let cache = Cache::open_with(dir.path(), &settings).unwrap();
        let secrets = ops_secrets::Config::default()
            .aws(AwsMode::Off)
            .environment(variables.iter().copied());
        let secrets = secrets::Part(Secrets::new(secrets).unwrap());
        let mut config = Config::new("shop");
        config.shared = code;
        Bucket::join(&cache, &settings, &config, &secrets).map(|_| cache)
    }

    #[test]
    fn a_file_names_the_secret_that_seals_what_is_shared() {
        let yaml = "shared: {bucket: results, endpoint: 'http://127.0.0.1:9', key_secret: SHOP_SHARED_KEY}";
        let cache = join(yaml, None, &[KEY]).unwrap();
        assert!(cache.shared_stats().is_some());
        assert!(join("", None, &[KEY]).unwrap().shared_stats().is_none());
        for (variables, message) in [
            (&[][..], "SHOP_SHARED_KEY"),
            (&[("SHOP_SHARED_KEY", "short")], "expected at least 16"),
        ] {
            let error = join(yaml, None, variables).unwrap_err();
            assert!(format!("{error:?}").contains(message), "{error:?}");
        }
    }

    #[test]
    fn a_bucket_without_a_key_for_the_seal_stops_the_start() {
        let error = join("", Some(SharedConfig::s3("results")), &[KEY]).unwrap_err();
        assert!(format!("{error:?}").contains("no key"), "{error:?}");
    }

    #[test]
    fn code_wins_over_the_file() {
        let yaml = "shared: {bucket: results, key_secret: SHOP_SHARED_KEY}";
        let code = SharedConfig::s3("results")
            .endpoint("http://127.0.0.1:9")
            .unauthenticated();
        assert!(
            join(yaml, Some(code), &[])
                .unwrap()
                .shared_stats()
                .is_some()
        );
    }
}
