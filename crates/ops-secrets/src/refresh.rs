//! Remote lookups under way: one per secret, or one for many, each landing whatever happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::catalogue::{Entry, Target};
use crate::error::ErrorKind;
use crate::flight::Flight;
use crate::remote::Answer;
use crate::secrets::Inner;
use crate::slot::{Failure, Known, Landed, Value, backoff, jitter};
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
            tracing::error!(target: "ops_secrets", %error, "the lookup thread could not be started");
        }
    }

    async fn run(mut self) {
        let targets: Vec<Target> = self
            .flights
            .iter()
            .filter_map(|(entry, _)| entry.target.clone())
            .collect();
        let inner = Arc::clone(&self.inner);
        let deadline = inner.config.deadline_duration();
        let answers = tokio::time::timeout(
            deadline,
            inner.remote.resolve(&targets, &inner.config.clock),
        )
        .await;
        let answers = answers.unwrap_or_else(|_| {
            targets
                .iter()
                .map(|target| late(target, deadline))
                .collect()
        });
        for ((entry, flight), answer) in self.flights.drain(..).zip(answers) {
            inner.land(&entry, &flight, answer);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for (entry, flight) in self.flights.drain(..) {
            let outcome = "the lookup was abandoned".to_owned();
            let tried = vec![Attempt {
                source: SecretSource::AwsSsm,
                outcome,
            }];
            self.inner.land(
                &entry,
                &flight,
                Answer {
                    result: Err(ErrorKind::Transient),
                    tried,
                },
            );
        }
    }
}

fn late(target: &Target, deadline: Duration) -> Answer {
    let source = if target.ssm_name().is_some() {
        SecretSource::AwsSsm
    } else {
        SecretSource::AwsSecretsManager
    };
    let outcome = format!("{}: no answer within {deadline:?}", target.path);
    Answer {
        result: Err(ErrorKind::Transient),
        tried: vec![Attempt { source, outcome }],
    }
}

impl Inner {
    fn land(&self, entry: &Arc<Entry>, flight: &Flight<Landed>, answer: Answer) {
        let before = entry.slot.known.load_full();
        let landed = match answer.result {
            Ok(found) => {
                Ok(found.map(|(text, source)| self.admit(&entry.name, Some(entry), &text, source)))
            }
            Err(kind) => Err(self.failure(entry, kind, answer.tried.clone(), before.as_deref())),
        };
        let known = match &landed {
            Ok(secret) => self.known(entry, secret.clone(), answer.tried, before.as_deref()),
            Err(failure) => Known {
                value: before
                    .as_ref()
                    .and_then(|known| known.value.clone())
                    .filter(|_| failure.kind.allows_stale()),
                failure: Some(failure.clone()),
            },
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
        let fetched_at = self.config.clock.now();
        Known {
            value: Some(Value {
                secret,
                fetched_at,
                jitter: jitter(),
                tried: tried.into(),
            }),
            failure: None,
        }
    }

    fn failure(
        &self,
        entry: &Entry,
        kind: ErrorKind,
        tried: Vec<Attempt>,
        before: Option<&Known>,
    ) -> Failure {
        let in_a_row = before
            .and_then(|known| known.failure.as_ref())
            .map_or(0, |failure| failure.in_a_row)
            + 1;
        if in_a_row == 1 {
            let why = tried
                .last()
                .map(|attempt| attempt.outcome.as_str())
                .unwrap_or_default();
            tracing::warn!(target: "ops_secrets", name = %entry.name, kind = kind.as_str(), why, "a lookup failed");
        }
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
            let limit = Duration::from_secs(longest) + self.max_stale();
            let old = |value: &Value| now.saturating_sub(value.fetched_at) > limit;
            if known
                .as_ref()
                .and_then(|known| known.value.as_ref())
                .is_some_and(old)
            {
                entry.slot.known.compare_and_swap(&*known, None);
            }
        }
    }
}
