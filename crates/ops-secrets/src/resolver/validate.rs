//! At start: everything in bulk, and everything that is wrong in one error.

use std::sync::Arc;

use crate::cache::flight::{Flight, block_on};
use crate::cache::slot::{Decision, Landed};
use crate::error::ErrorKind;
use crate::resolver::refresh::Waiting;
use crate::resolver::{Inner, Secrets};
use crate::setup::catalog::Entry;
use crate::{Attempt, Report, SecretError};

impl Secrets {
    /// Looks up all catalogued secrets in bulk, so that later calls find them. What fails is told by the call that needs
    /// it, and by the report.
    pub async fn warm_up(&self) {
        let flights = self.inner.depart();
        for flight in flights {
            let _ = std::future::poll_fn(|cx| flight.poll(cx)).await;
        }
    }

    /// [`warm_up`](Secrets::warm_up), waiting as [`Get::blocking`](crate::Get::blocking) does.
    pub fn warm_up_blocking(&self) {
        block_on(self.warm_up());
    }

    /// Looks up all catalogued secrets and reports. One error names every required secret that cannot be had, and why.
    ///
    /// Its [`kind`](SecretError::kind) is theirs if they have one in common, else [`ErrorKind::Missing`].
    pub async fn validate(&self) -> Result<Report, SecretError> {
        self.warm_up().await;
        let mut failures = Vec::new();
        for entry in self.inner.catalogue.entries() {
            if entry.required
                && let Err(error) = self.get(&entry.name).await
            {
                failures.push((Arc::clone(entry), error));
            }
        }
        match failures.first() {
            None => Ok(self.report()),
            Some((_, first)) => Err(together(first.kind(), &failures)),
        }
    }

    /// [`validate`](Secrets::validate), waiting as [`Get::blocking`](crate::Get::blocking) does.
    pub fn validate_blocking(&self) -> Result<Report, SecretError> {
        block_on(self.validate())
    }
}

fn together(first: ErrorKind, failures: &[(Arc<Entry>, SecretError)]) -> SecretError {
    let common = failures.iter().all(|(_, error)| error.kind() == first);
    let names: Vec<_> = failures
        .iter()
        .map(|(entry, _)| format!("`{}`", entry.name))
        .collect();
    let tried = failures.iter().flat_map(|(entry, error)| {
        error.tried().iter().map(|attempt| Attempt {
            source: attempt.source,
            outcome: format!("{}: {}", entry.name, attempt.outcome),
        })
    });
    let (count, plural) = (names.len(), if names.len() == 1 { "" } else { "s" });
    SecretError::new(
        if common { first } else { ErrorKind::Missing },
        format!(
            "{count} required secret{plural} cannot be had: {}",
            names.join(", ")
        ),
        tried.collect(),
    )
}

impl Inner {
    /// Starts one lookup for all secrets that have to be asked for and are not set in the environment.
    fn depart(self: &Arc<Self>) -> Vec<Arc<Flight<Landed>>> {
        let (mut new, mut all) = (Vec::new(), Vec::new());
        for entry in self.catalogue.entries() {
            if entry.target.is_none() || self.remote.is_empty() || !self.is_due(entry) {
                continue;
            }
            let mut slot = entry.slot.flight.lock();
            let flight = slot.get_or_insert_with(|| {
                let flight = Flight::new();
                new.push((Arc::clone(entry), Arc::clone(&flight)));
                flight
            });
            all.push(Arc::clone(flight));
        }
        if !new.is_empty() {
            Waiting::start(self, new);
        }
        all
    }

    fn is_due(&self, entry: &Entry) -> bool {
        if self.config.environment.get(&entry.env_var).is_some() {
            return false;
        }
        let (ttl, now) = (self.default_ttl(), self.config.clock.now());
        entry.slot.known.load().as_ref().is_none_or(|known| {
            let decision = known.decide(ttl, self.max_stale(), now);
            matches!(decision, Decision::Fetch)
        })
    }
}
