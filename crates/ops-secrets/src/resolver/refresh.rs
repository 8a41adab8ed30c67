//! Remote lookups under way: one per secret, or one for many, each landing whatever happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cache::flight::Flight;
use crate::cache::slot::{Failure, Known, Landed, Value, backoff, jitter};
use crate::error::ErrorKind;
use crate::resolver::Inner;
use crate::setup::catalog::{Entry, Target};
use crate::source::Answer;
use crate::{Attempt, SecretSource};

/// The secrets that one lookup is for. What is left when it is dropped lands as a failure, so nobody waits for ever.
pub(crate) struct Waiting {
    inner: Arc<Inner>,
    flights: Vec<(Arc<Entry>, Arc<Flight<Landed>>)>,
}

impl Waiting {
    pub(crate) fn start(inner: &Arc<Inner>, flights: Vec<(Arc<Entry>, Arc<Flight<Landed>>)>) {
        let waiting = Self {
            inner: Arc::clone(inner),
            flights,
        };
        let started = inner.deck.spawn(waiting.run());
        if let Err(error) = started {
            tracing::error!(target: "ops_secrets", %error, "secret_lookup_thread_failed");
        }
    }

    async fn run(mut self) {
        let targets: Vec<Target> = self
            .flights
            .iter()
            .filter_map(|(entry, _)| entry.target.clone())
            .collect();
        let inner = Arc::clone(&self.inner);
        let (clock, deadline) = (&inner.config.clock, inner.config.deadline_duration());
        let answers = inner.remote.resolve(&targets, clock, deadline).await;
        for ((entry, flight), answer) in self.flights.drain(..).zip(answers) {
            inner.land(&entry, &flight, answer);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for (entry, flight) in self.flights.drain(..) {
            let answer = Answer::abandoned(SecretSource::AwsSsm);
            self.inner.land(&entry, &flight, answer);
        }
    }
}

impl Failure {
    fn announce(&self, entry: &Entry) {
        let why = self.tried.last();
        let why = why.map_or("", |attempt| attempt.outcome.as_str());
        let (name, kind) = (&entry.name, self.kind.as_str());
        tracing::warn!(target: "ops_secrets", %name, kind, why, "secret_lookup_failed");
    }
}

impl Inner {
    fn land(&self, entry: &Arc<Entry>, flight: &Flight<Landed>, answer: Answer) {
        let before = entry.slot.known.load_full();
        let Answer {
            result,
            mut tried,
            told,
        } = answer;
        let admitted = match result {
            Ok(None) => Ok(None),
            Err(kind) => Err(kind),
            Ok(Some((text, source))) => self
                .admit(&entry.name, Some(entry), text.as_bytes(), source)
                .map(Some)
                .map_err(|problem| {
                    let outcome = format!("{}: {problem}", entry.name);
                    tried.push(Attempt { source, outcome });
                    ErrorKind::Malformed
                }),
        };
        let landed = admitted.map_err(|kind| {
            let failure = self.failure(kind, tried.clone(), before.as_deref());
            if failure.in_a_row == 1 && !told {
                failure.announce(entry);
            }
            failure
        });
        let known = match &landed {
            Ok(secret) => self.known(entry, secret.clone(), tried, before.as_deref()),
            Err(failure) => {
                let value = before.as_ref().and_then(|known| known.value.clone());
                let value = value.filter(|_| failure.kind.allows_stale());
                Known::new(value, Some(failure.clone()), self.default_ttl())
            }
        };
        entry.slot.known.store(Some(Arc::new(known)));
        *entry.slot.flight.lock() = None;
        flight.land(landed);
        self.sweep();
    }

    fn known(
        &self,
        entry: &Entry,
        secret: Option<crate::Secret>,
        tried: Vec<Attempt>,
        before: Option<&Known>,
    ) -> Known {
        let had = before
            .and_then(|known| known.value.as_ref())
            .is_some_and(|value| value.secret.is_some());
        if secret.is_none() && had {
            tracing::warn!(target: "ops_secrets", name = %entry.name, "a secret disappeared from AWS");
        }
        let value = Value {
            secret,
            fetched_at: self.config.clock.now(),
            jitter: jitter(),
            tried: tried.into(),
        };
        Known::new(Some(value), None, self.default_ttl())
    }

    fn failure(&self, kind: ErrorKind, tried: Vec<Attempt>, before: Option<&Known>) -> Failure {
        let in_a_row = before
            .and_then(|known| known.failure.as_ref())
            .map_or(0, |failure| failure.in_a_row)
            + 1;
        Failure {
            kind,
            tried: tried.into(),
            retry_at: self.config.clock.now() + backoff(in_a_row),
            in_a_row,
        }
    }

    /// Drops the values that nobody may be given any more.
    fn sweep(&self) {
        let now = self.config.clock.now();
        for entry in self.catalogue.entries() {
            let known = entry.slot.known.load();
            let longest = entry
                .slot
                .longest_ttl
                .load(Ordering::Relaxed)
                .max(self.config.ttl_seconds);
            let limit = Duration::from_secs(longest).saturating_add(self.max_stale());
            let old = |value: &Value| now.saturating_sub(value.fetched_at) > limit;
            if known
                .as_ref()
                .and_then(|known| known.value.as_ref())
                .is_some_and(old)
            {
                entry.slot.known.compare_and_swap(&*known, None);
                self.forget(entry);
            }
        }
    }
}
