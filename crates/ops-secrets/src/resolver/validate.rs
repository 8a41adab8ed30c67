//! Validation at start: one bulk lookup, and one error for everything that is wrong.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use crate::cache::alarm::Alarm;
use crate::cache::entry::Joined;
use crate::cache::freshness::Freshness;
use crate::error::ErrorKind;
use crate::resolver::block_on::block_on;
use crate::resolver::refresh::Lookup;
use crate::resolver::secrets::Secrets;
use crate::resolver::tracked::{Place, Tracked};
use crate::resolver::{Resolver, stats};
use crate::{Attempt, Report, Secret, SecretError};

impl Secrets {
    /// Looks up all cataloged secrets in bulk, so that later calls find them, and notifies listeners of all
    /// of them together. A failure is returned by the call that needs the secret, and shown in the report.
    pub async fn warm_up(&self) {
        let resolver = &self.resolver;
        let lookups = resolver.look_up_all();
        let mut alarm = Alarm::new(Instant::now() + resolver.patience());
        for (tracked, flight) in lookups {
            let wait = poll_fn(|cx| match flight.poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => alarm.poll(cx).map(|()| false),
            });
            if !wait.await {
                let _ = resolver.give_up(&tracked, &flight);
            }
        }
        resolver.notify_listeners();
    }

    /// Looks up all cataloged secrets as [`warm_up`](Secrets::warm_up) does, waiting as
    /// [`Get::blocking`](crate::Get::blocking) does.
    pub fn warm_up_blocking(&self) {
        let _ = block_on(self.warm_up(), None);
    }

    /// Looks up all cataloged secrets and returns the report. One error
    /// names every required secret that is unavailable, with the reason.
    ///
    /// # Errors
    /// Fails if a required secret is unavailable. The [`kind`](SecretError::kind)
    /// is the one that all of them share, otherwise [`ErrorKind::Missing`].
    pub async fn validate(&self) -> Result<Report, SecretError> {
        self.warm_up().await;
        let mut failures = Vec::new();
        for tracked in &self.resolver.tracked {
            if tracked.entry.required
                && let Err(error) = self.get(&tracked.entry.name).bytes().await
            {
                failures.push((Arc::clone(tracked), error));
            }
        }
        match failures.first() {
            None => Ok(self.report()),
            Some((_, first)) => Err(combined_error(first.kind(), &failures)),
        }
    }

    /// Validates as [`validate`](Secrets::validate) does, waiting as [`Get::blocking`](crate::Get::blocking) does.
    ///
    /// # Errors
    /// Fails as [`validate`](Secrets::validate) does.
    pub fn validate_blocking(&self) -> Result<Report, SecretError> {
        let late = || SecretError::config("the wait ended without a result");
        block_on(self.validate(), None).unwrap_or_else(|| Err(late()))
    }
}

fn combined_error(first: ErrorKind, failures: &[(Arc<Tracked>, SecretError)]) -> SecretError {
    let common = failures.iter().all(|(_, error)| error.kind() == first);
    let names: Vec<_> = failures
        .iter()
        .map(|(tracked, _)| format!("`{}`", tracked.entry.name))
        .collect();
    let tried = failures.iter().flat_map(|(tracked, error)| {
        error.tried().iter().map(|attempt| Attempt {
            source: attempt.source,
            outcome: format!("{}: {}", tracked.entry.name, attempt.outcome),
        })
    });
    let (count, plural) = (names.len(), if names.len() == 1 { "" } else { "s" });
    SecretError::new(
        if common { first } else { ErrorKind::Missing },
        format!(
            "{count} required secret{plural} cannot be resolved: {}",
            names.join(", ")
        ),
        tried.collect(),
    )
}

impl Resolver {
    /// Starts one lookup for all secrets that are due and not set on this machine.
    fn look_up_all(self: &Arc<Self>) -> Vec<Lookup> {
        let (mut new, mut all) = (Vec::new(), Vec::new());
        for tracked in self.tracked.iter().filter(|tracked| self.is_due(tracked)) {
            let known = tracked.cache.known();
            let lookup = |flight| (Arc::clone(tracked), flight);
            match tracked.cache.join(known.as_ref(), false) {
                Joined::Running(flight) => all.push(lookup(flight)),
                Joined::New(flight) => {
                    if known.is_some() {
                        stats::add(&self.counters.refreshes);
                    }
                    new.push(lookup(Arc::clone(&flight)));
                    all.push(lookup(flight));
                }
                Joined::Changed => {} // another caller just looked it up
            }
        }
        if !new.is_empty() {
            self.look_up(new);
        }
        all
    }

    fn is_due(&self, tracked: &Arc<Tracked>) -> bool {
        let is_set = self
            .config
            .environment
            .get(&tracked.entry.env_var)
            .is_some();
        if is_set || !tracked.is_remote || !matches!(self.from_file(tracked.into()), Ok(None)) {
            return false;
        }
        let (ttl, now) = (self.default_ttl(), self.config.clock.now());
        tracked.cache.known().as_ref().is_none_or(|known| {
            let freshness = known.freshness(ttl, self.max_stale(), now);
            matches!(freshness, Freshness::Fetch)
        })
    }

    /// Notifies listeners of the values that calls would find
    /// now, all together, and lets later hits take the fast path.
    fn notify_listeners(&self) {
        let found = self.tracked.iter().filter_map(|tracked| {
            let (secret, _) = self.as_known(tracked);
            Some((tracked, secret.filter(|secret| !secret.is_default())?))
        });
        let found: Vec<(&Arc<Tracked>, Secret)> = found.collect();
        let places: Vec<(Place<'_>, &Secret)> = found
            .iter()
            .map(|(tracked, secret)| (Place::from(*tracked), secret))
            .collect();
        if self.listeners.hand_out(&places) {
            for (tracked, secret) in &found {
                tracked.hand_out(secret, self.default_ttl());
            }
        }
    }
}
