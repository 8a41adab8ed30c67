//! Rotation: noticing a new value, and requesting one when the old one is refused.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::cache::alarm::Alarm;
use crate::cache::flight::Flight;
use crate::error::ErrorKind;
use crate::resolver::Resolver;
use crate::resolver::block_on::block_on;
use crate::resolver::get::Get;
use crate::resolver::secrets::Secrets;
use crate::resolver::tracked::Tracked;
use crate::setup::config::MAX_TTL;
use crate::{Secret, SecretBytes, SecretError, SecretSource};

/// Minimum time between two queries of a secret's remote source by [`Secrets::refresh_after_failure`].
pub const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Pause between two checks of a [`Watch`].
pub const DEFAULT_WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Changes of one secret, from [`Secrets::watch`].
pub struct Watch {
    secrets: Secrets,
    name: String,
    last: Option<Secret>,
    interval: Duration,
}

impl Secrets {
    /// Watches a secret: the first change is its current value.
    ///
    /// Checks every second: variables and files are read each
    /// time, a remote value is fetched once its time to live ends.
    pub fn watch(&self, name: impl Into<String>) -> Watch {
        Watch {
            secrets: self.clone(),
            name: name.into(),
            last: None,
            interval: DEFAULT_WATCH_INTERVAL,
        }
    }

    /// Returns the value to try next after the one in use was refused: a password may just have been rotated.
    ///
    /// Queries the remote source immediately, at most once per [`MIN_REFRESH_INTERVAL`] and secret; callers within that
    /// time share the lookup or get its result. If the source fails, the last value is returned while it is fresh.
    ///
    /// # Errors
    /// Fails as [`get`](Secrets::get) does.
    pub async fn refresh_after_failure(&self, name: &str) -> Result<Secret, SecretError> {
        if let Some((tracked, flight)) = self.resolver.force_lookup(name) {
            let mut alarm = Alarm::new(Instant::now() + self.resolver.patience());
            let wait = poll_fn(|cx| match flight.poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => alarm.poll(cx).map(|()| false),
            });
            if !wait.await {
                let _ = self.resolver.give_up(&tracked, &flight);
            }
        }
        self.get(name).await
    }

    /// Returns a value as [`refresh_after_failure`](Secrets::refresh_after_failure) does, waiting as
    /// [`Get::blocking`](crate::Get::blocking) does.
    ///
    /// # Errors
    /// Fails as [`get`](Secrets::get) does.
    pub fn refresh_after_failure_blocking(&self, name: &str) -> Result<Secret, SecretError> {
        let asked = block_on(self.refresh_after_failure(name), None);
        asked.unwrap_or_else(|| self.get(name).blocking())
    }

    /// Parses a secret as JSON into a type.
    ///
    /// # Errors
    /// Fails as [`get`](Secrets::get) does, and as malformed if the text is not the JSON of a `T`.
    pub async fn get_as<T: DeserializeOwned>(&self, name: &str) -> Result<T, SecretError> {
        typed(name, &self.get(name).await?)
    }

    /// Parses a secret as [`get_as`](Secrets::get_as) does, waiting as [`Get::blocking`](crate::Get::blocking) does.
    ///
    /// # Errors
    /// Fails as [`get_as`](Secrets::get_as) does.
    pub fn get_as_blocking<T: DeserializeOwned>(&self, name: &str) -> Result<T, SecretError> {
        typed(name, &self.get(name).blocking()?)
    }
}

impl Watch {
    /// Sets the pause between two checks: at least a millisecond, at most [`MAX_TTL`](crate::MAX_TTL).
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(Duration::from_millis(1), MAX_TTL);
        self
    }

    /// Waits for the next value. Keeps waiting while no source has one, a source fails or the
    /// secret is binary; [`Secrets::report`] and the log show the reason. A value from AWS is
    /// not replaced by one from a later source only because AWS can no longer be queried.
    pub async fn changed(&mut self) -> Secret {
        loop {
            let now = self.ask().await.ok();
            if let Some(secret) = self.note(now) {
                return secret;
            }
            self.pause().await;
        }
    }

    /// Waits for the next value as [`changed`](Watch::changed) does, as bytes, and also accepts binary secrets.
    pub async fn changed_bytes(&mut self) -> SecretBytes {
        loop {
            let now = self.ask().bytes().await.ok();
            if let Some(secret) = self.note(now.map(SecretBytes::into_secret)) {
                return SecretBytes::new(secret);
            }
            self.pause().await;
        }
    }

    fn ask(&self) -> Get<'_> {
        self.secrets.get(&self.name).strict(self.had_aws_value())
    }

    fn had_aws_value(&self) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| last.source().is_aws())
    }

    /// Returns whether the value comes from a custom source that was queried only because AWS failed.
    fn stands_in(&self, secret: &Secret) -> bool {
        self.had_aws_value()
            && matches!(secret.source(), SecretSource::Custom(_))
            && self.secrets.resolver.has_skipped_failure(&self.name)
    }

    /// Returns the value if it differs from the last one and does not merely stand in for it.
    fn note(&mut self, now: Option<Secret>) -> Option<Secret> {
        let changed = now.filter(|secret| self.last.as_ref() != Some(secret))?;
        if self.stands_in(&changed) {
            return None;
        }
        self.last = Some(changed.clone());
        Some(changed)
    }

    async fn pause(&self) {
        let mut alarm = Alarm::new(Instant::now() + self.interval);
        poll_fn(|cx| alarm.poll(cx)).await;
    }

    /// Waits for the next value as [`changed`](Watch::changed) does, on this thread for at most `limit`; `None` if nothing
    /// changed until then.
    pub fn changed_blocking(&mut self, limit: Duration) -> Option<Secret> {
        block_on(self.changed(), Instant::now().checked_add(limit))
    }

    /// Waits for the next value as [`changed_bytes`](Watch::changed_bytes) does, on this thread for at most `limit`; `None` if
    /// nothing changed until then.
    pub fn changed_bytes_blocking(&mut self, limit: Duration) -> Option<SecretBytes> {
        block_on(self.changed_bytes(), Instant::now().checked_add(limit))
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watch({})", self.name)
    }
}

impl Resolver {
    /// Returns whether a source failed before the one that has the value was queried.
    fn has_skipped_failure(&self, name: &str) -> bool {
        let Some(tracked) = self.find(name) else {
            return false;
        };
        let known = tracked.cache.known();
        let value = known.as_ref().and_then(|known| known.value.as_ref());
        value.is_some_and(|value| value.skipped_failure)
    }

    /// Returns a lookup that starts now, or the running one if another
    /// was forced within the interval; `None` if there is neither.
    fn force_lookup(self: &Arc<Self>, name: &str) -> Option<(Arc<Tracked>, Arc<Flight>)> {
        let tracked = self.find(name).filter(|tracked| tracked.is_remote)?;
        let now = self.config.clock.now();
        let joined = tracked.cache.join_forced(now, MIN_REFRESH_INTERVAL)?;
        let known = tracked.cache.known();
        let flight = self.begin_lookup(tracked, joined, known.is_some())?;
        Some((Arc::clone(tracked), flight))
    }
}

/// Parses JSON. The parser's own message may contain a value, so the error names only the position.
fn typed<T: DeserializeOwned>(name: &str, secret: &Secret) -> Result<T, SecretError> {
    serde_json::from_str(secret.expose()).map_err(|error| {
        let what = match error.is_data() {
            true => "the JSON does not match the expected type",
            false => "invalid JSON",
        };
        let (line, column) = (error.line(), error.column());
        let message =
            format!("the secret `{name}` is malformed: {what}, at line {line} column {column}");
        SecretError::new(ErrorKind::Malformed, message, Vec::new())
    })
}
