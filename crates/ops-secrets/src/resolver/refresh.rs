//! Remote lookups: those that start within moments of each other share one, and each one is guaranteed to end.

use std::process;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::cache::flight::{Flight, Outcome};
use crate::cache::freshness::{CachedLookup, Failure, LookupResult, RemoteValue};
use crate::caught::caught;
use crate::error::ErrorKind;
use crate::resolver::Resolver;
use crate::resolver::tracked::Tracked;
use crate::source::SourceValue;
use crate::source::chain::{Answer, Refusal};
use crate::source::target::Target;
use crate::{Attempt, Secret, SecretSource};

/// Time a lookup waits for others to share its requests.
const GATHER: Duration = Duration::from_millis(2);

/// Secret and the lookup for it.
pub(super) type Lookup = (Arc<Tracked>, Arc<Flight>);

/// Lookups that wait for others to join them.
#[derive(Default)]
pub(super) struct Queue(Mutex<Queued>);

#[derive(Default)]
struct Queued {
    /// Process whose thread takes them from the queue.
    process: u32,
    /// Number of that thread.
    thread: u64,
    lookups: Vec<Lookup>,
}

/// Secrets of one lookup. On drop, those without a result end as failures, so that no caller waits forever.
struct LookupBatch {
    resolver: Arc<Resolver>,
    lookups: Vec<Lookup>,
    /// Takes its lookups from the queue: this batch was started for it.
    gathers: bool,
}

/// Event for the operator, logged once everything is stored, because subscribers are foreign code.
enum Event {
    Failed(Arc<Tracked>, Failure),
    Disappeared(Arc<Tracked>, SecretSource),
}

impl Queue {
    /// Adds a lookup for the thread with this number. Returns whether the caller has to start a batch
    /// for the queue: for the first lookup, and for the first after a stuck thread was discarded.
    fn add(&self, lookup: Lookup, thread: u64) -> bool {
        let mut queued = self.0.lock();
        if queued.process != process::id() {
            queued.process = process::id();
            queued.lookups.clear();
        }
        let is_left = queued.thread != thread;
        queued.thread = thread;
        queued.lookups.push(lookup);
        is_left || queued.lookups.len() == 1
    }

    fn take(&self) -> Vec<Lookup> {
        std::mem::take(&mut self.0.lock().lookups)
    }
}

impl Resolver {
    /// Starts a lookup, together with those that start within [`GATHER`].
    pub(super) fn enqueue(self: &Arc<Self>, lookup: Lookup) {
        let thread = self.runtime.number();
        lookup.1.set_thread(thread);
        if self.queue.add(lookup, thread) {
            self.spawn(Vec::new(), true);
        }
    }

    /// Starts one lookup for many secrets immediately.
    pub(super) fn look_up(self: &Arc<Self>, lookups: Vec<Lookup>) {
        let number = self.runtime.number();
        for (_, flight) in &lookups {
            flight.set_thread(number);
        }
        self.spawn(lookups, false);
    }

    /// Ends a lookup that its waiter gave up, because the thread that runs it does not respond.
    pub(super) fn give_up(&self, tracked: &Arc<Tracked>, flight: &Arc<Flight>) -> LookupResult {
        self.runtime.discard(flight.thread());
        let outcome = format!("no response within {:?}", self.config.deadline_duration());
        let mut events = Vec::new();
        let answer = Answer::abandoned(self.chain.first_for(&tracked.target), outcome);
        let outcome = self.complete(tracked, flight, answer, &mut events);
        log(events);
        flight.land(outcome.clone());
        match outcome {
            Outcome::Answered(result) => result,
            Outcome::Superseded => {
                let (kind, now) = ((ErrorKind::Transient, false), self.config.clock.now());
                Err(Failure::after(None, kind, (Vec::new(), 0), now))
            }
        }
    }

    fn spawn(self: &Arc<Self>, lookups: Vec<Lookup>, gathers: bool) {
        let batch = LookupBatch {
            resolver: Arc::clone(self),
            lookups,
            gathers,
        };
        if let Err(error) = self.runtime.spawn(batch.run()) {
            caught(
                || tracing::error!(target: "ops_secrets", %error, "secret_lookup_thread_failed"),
            );
        }
    }

    /// Stores the result of one lookup, unless something newer is known.
    fn complete(
        &self,
        tracked: &Arc<Tracked>,
        flight: &Arc<Flight>,
        answer: Answer,
        events: &mut Vec<Event>,
    ) -> Outcome {
        let skipped_failure = answer.skipped_failure;
        let Answer {
            result, mut tried, ..
        } = answer;
        let result = match result {
            Ok(None) => Ok(None),
            Err(refusal) => Err(refusal),
            Ok(Some((value, source))) => {
                let secret = self.admit(tracked, &value, source);
                secret.map(Some).map_err(|attempt| {
                    tried.push(attempt);
                    Refusal {
                        kind: ErrorKind::Malformed,
                        falls_back: false,
                        reported: false,
                        at: tried.len() - 1,
                    }
                })
            }
        };
        let now = self.config.clock.now();
        tracked.cache.complete(flight, |before| match result {
            Ok(secret) => {
                let had = before.and_then(CachedLookup::secret);
                if let Some(had) = had.filter(|_| secret.is_none()) {
                    events.push(Event::Disappeared(Arc::clone(tracked), had.source()));
                }
                let value = RemoteValue::new(secret.clone(), now, tried);
                let value = value.skipped_failure(skipped_failure);
                (CachedLookup::new(Some(value), None), Ok(secret))
            }
            Err(refusal) => {
                let kind = (refusal.kind, refusal.falls_back);
                let mut failure = Failure::after(before, kind, (tried, refusal.at), now);
                if !failure.is_logged() && !refusal.reported {
                    failure.set_logged();
                    events.push(Event::Failed(Arc::clone(tracked), failure.clone()));
                }
                let value = before.and_then(|before| before.value.clone());
                let value = value.filter(|_| failure.kind.allows_stale());
                let known = CachedLookup::new(value, Some(failure.clone()));
                (known, Err(failure))
            }
        })
    }

    fn admit(
        &self,
        tracked: &Arc<Tracked>,
        value: &SourceValue,
        source: SecretSource,
    ) -> Result<Secret, Attempt> {
        let Some(text) = value.text().map(str::as_bytes) else {
            return Ok(Secret::binary(value.bytes().unwrap_or_default(), source));
        };
        let secret = self.listeners.recognize(tracked.into(), text, source);
        secret.map_err(|problem| Attempt {
            source,
            outcome: format!("{}: {problem}", tracked.entry.name),
        })
    }

    /// Drops the values that are too old for every caller.
    fn sweep(&self) {
        let (now, ttl) = (self.config.clock.now(), self.default_ttl());
        for tracked in &self.tracked {
            if tracked.cache.expire(now, ttl, self.max_stale()) {
                self.listeners.forget(tracked);
            }
        }
    }
}

impl LookupBatch {
    async fn run(mut self) {
        if self.gathers {
            tokio::time::sleep(GATHER).await;
            self.lookups = self.resolver.queue.take();
            self.gathers = false;
        }
        for (_, flight) in &self.lookups {
            flight.send();
        }
        let resolver = Arc::clone(&self.resolver);
        let targets: Vec<&Target> = self
            .lookups
            .iter()
            .map(|(tracked, _)| &tracked.target)
            .collect();
        let (clock, deadline) = (&resolver.config.clock, resolver.config.deadline_duration());
        let answers = resolver.chain.resolve(&targets, clock, deadline).await;
        self.end(answers.into_iter());
        resolver.sweep();
    }

    fn end(&mut self, mut answers: impl Iterator<Item = Answer>) {
        let (mut events, mut landing) = (Vec::new(), Vec::new());
        for (tracked, flight) in self.lookups.drain(..) {
            let abandoned = || {
                let source = self.resolver.chain.first_for(&tracked.target);
                Answer::abandoned(source, "the lookup was aborted".into())
            };
            let answer = answers.next().unwrap_or_else(abandoned);
            let outcome = self
                .resolver
                .complete(&tracked, &flight, answer, &mut events);
            landing.push((flight, outcome));
        }
        log(events);
        for (flight, outcome) in landing {
            flight.land(outcome);
        }
    }
}

impl Drop for LookupBatch {
    fn drop(&mut self) {
        if self.gathers {
            self.lookups.extend(self.resolver.queue.take());
        }
        if !self.lookups.is_empty() {
            self.end(std::iter::empty());
        }
    }
}

fn log(events: Vec<Event>) {
    for event in events {
        caught(|| match &event {
            Event::Failed(tracked, failure) => {
                let cause = failure.cause();
                let why = cause.map_or("", |attempt| attempt.outcome.as_str());
                let source = cause.map_or("", |attempt| attempt.source.as_str());
                let (name, kind) = (&tracked.entry.name, failure.kind.as_str());
                tracing::warn!(target: "ops_secrets", %name, source, kind, why, "secret_lookup_failed");
            }
            Event::Disappeared(tracked, source) => {
                tracing::warn!(target: "ops_secrets", name = %tracked.entry.name, %source, "secret_disappeared");
            }
        });
    }
}
