//! For tests: remote sources in memory that fail on command, and a clock that stands still.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::cache::clock::Clock;
use crate::error::ErrorKind;
use crate::source::{Backend, BoxFuture, Fault, Fetched};
use crate::{Config, Secrets};

/// A clock that moves when it is told to.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock on; milliseconds count, smaller parts do not.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::AcqRel);
    }
}

/// A remote source in memory. Clones share their content.
#[derive(Clone)]
pub struct MemorySource(Arc<Shared>);

struct Shared {
    content: Mutex<HashMap<String, Result<Zeroizing<String>, ErrorKind>>>,
    calls: Mutex<Vec<Vec<String>>>,
    latency: Mutex<Duration>,
    held: watch::Sender<bool>,
}

impl Default for MemorySource {
    fn default() -> Self {
        Self::new()
    }
}

impl MemorySource {
    /// An empty source that answers at once.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            content: Mutex::default(),
            calls: Mutex::default(),
            latency: Mutex::default(),
            held: watch::Sender::new(false),
        }))
    }

    /// Answers `name` with `value` from now on.
    pub fn set(&self, name: &str, value: &str) {
        self.0
            .content
            .lock()
            .insert(name.into(), Ok(Zeroizing::new(value.into())));
    }

    /// Fails on `name` from now on.
    pub fn fail(&self, name: &str, kind: ErrorKind) {
        self.0.content.lock().insert(name.into(), Err(kind));
    }

    /// Does not have `name` from now on.
    pub fn remove(&self, name: &str) {
        self.0.content.lock().remove(name);
    }

    /// Takes this long for each call.
    pub fn set_latency(&self, latency: Duration) {
        *self.0.latency.lock() = latency;
    }

    /// Answers no call until [`release`](Self::release).
    pub fn hold(&self) {
        self.0.held.send_replace(true);
    }

    /// Answers the calls that wait, and those to come.
    pub fn release(&self) {
        self.0.held.send_replace(false);
    }

    /// The calls so far, each with the names it asked for.
    pub fn calls(&self) -> Vec<Vec<String>> {
        self.0.calls.lock().clone()
    }
}

impl Backend for MemorySource {
    fn fetch(&self, names: Vec<String>) -> BoxFuture<'_, Vec<Fetched>> {
        Box::pin(async move {
            self.0.calls.lock().push(names.clone());
            let latency = *self.0.latency.lock();
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            // the sender lives in self, so waiting cannot fail
            let _ = self.0.held.subscribe().wait_for(|held| !held).await;
            let content = self.0.content.lock();
            names.iter().map(|name| answer(content.get(name))).collect()
        })
    }
}

fn answer(stored: Option<&Result<Zeroizing<String>, ErrorKind>>) -> Fetched {
    match stored {
        Some(Ok(value)) => Ok(value.clone()),
        Some(Err(kind @ ErrorKind::Unavailable)) => {
            Err(Fault::Unreachable(*kind, "injected: unavailable".into()))
        }
        Some(Err(kind)) => Err(Fault::Failed(*kind, format!("injected: {}", kind.as_str()))),
        None => Err(Fault::Absent),
    }
}

#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) ssm: MemorySource,
    pub(crate) secrets_manager: MemorySource,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sources")
    }
}

impl Config {
    /// Puts these in the place of both AWS services. Combine with [`AwsMode::On`](crate::AwsMode::On).
    pub fn sources(mut self, ssm: &MemorySource, secrets_manager: &MemorySource) -> Self {
        self.sources = Some(Sources {
            ssm: ssm.clone(),
            secrets_manager: secrets_manager.clone(),
        });
        self
    }

    /// Takes the time from this clock.
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Clock::Manual(Arc::clone(&clock.0));
        self
    }
}

impl Secrets {
    /// How many callers wait for the remote lookup of `name` right now.
    pub fn waiting(&self, name: &str) -> usize {
        let entry = self.inner.catalogue.find(name);
        entry
            .and_then(|entry| {
                entry
                    .slot
                    .flight
                    .lock()
                    .as_ref()
                    .map(|flight| flight.waiting())
            })
            .unwrap_or(0)
    }
}
