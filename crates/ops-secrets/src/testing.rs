//! Test support: in-memory remote sources that fail on command, and a manual clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Config;
use crate::cache::clock::Clock;
use crate::error::ErrorKind;
use crate::source::{FetchError, FetchResult, Source, SourceFuture, SourceValue};

/// Clock that moves only when advanced.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Creates a clock at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances the clock by whole milliseconds; smaller parts are ignored.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::AcqRel);
    }
}

/// In-memory remote source. Clones share their content.
#[derive(Clone)]
pub struct MemorySource(Arc<Shared>);

struct Shared {
    content: Mutex<HashMap<String, Result<SourceValue, ErrorKind>>>,
    calls: Mutex<Vec<Vec<String>>>,
    latency: Mutex<Duration>,
    held: watch::Sender<bool>,
    answers_as_asked: AtomicBool,
}

impl Default for MemorySource {
    fn default() -> Self {
        Self::new()
    }
}

impl MemorySource {
    /// Creates an empty source that responds immediately.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            content: Mutex::default(),
            calls: Mutex::default(),
            latency: Mutex::default(),
            held: watch::Sender::new(false),
            answers_as_asked: AtomicBool::new(false),
        }))
    }

    /// Returns `value` for `name` from now on.
    pub fn set(&self, name: &str, value: &str) {
        self.0
            .content
            .lock()
            .insert(name.into(), Ok(SourceValue::new(value)));
    }

    /// Returns these bytes for `name` from now on, as a binary secret.
    pub fn set_binary(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        let value = SourceValue::binary(bytes);
        self.0.content.lock().insert(name.into(), Ok(value));
    }

    /// Fails lookups of `name` with `kind` from now on.
    pub fn fail(&self, name: &str, kind: ErrorKind) {
        self.0.content.lock().insert(name.into(), Err(kind));
    }

    /// Removes `name`: lookups find it absent from now on.
    pub fn remove(&self, name: &str) {
        self.0.content.lock().remove(name);
    }

    /// Delays each call by `latency`.
    pub fn set_latency(&self, latency: Duration) {
        *self.0.latency.lock() = latency;
    }

    /// Holds all calls until [`release`](Self::release).
    pub fn hold(&self) {
        self.0.held.send_replace(true);
    }

    /// Holds all calls until [`release`](Self::release), then responds with the content
    /// as of the start of each call, like a response that was in transit for long.
    pub fn hold_answers(&self) {
        self.0.answers_as_asked.store(true, Ordering::Release);
        self.hold();
    }

    /// Completes the held calls; later calls are not held.
    pub fn release(&self) {
        self.0.held.send_replace(false);
    }

    /// Returns the calls so far, each with the requested names.
    pub fn calls(&self) -> Vec<Vec<String>> {
        self.0.calls.lock().clone()
    }
}

impl Source for MemorySource {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn fetch<'a>(&'a self, names: &'a [String], _: Instant) -> SourceFuture<'a> {
        Box::pin(async move {
            // read before the call is recorded: a test that sees the call may set the value for a later one
            let before = self.0.content.lock().clone();
            self.0.calls.lock().push(names.to_vec());
            let latency = *self.0.latency.lock();
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            let is_held = *self.0.held.borrow();
            // the sender lives in `self`, so waiting cannot fail
            let _ = self.0.held.subscribe().wait_for(|held| !held).await;
            let keeps = self.0.answers_as_asked.load(Ordering::Acquire);
            let content = match is_held && keeps {
                true => before,
                false => self.0.content.lock().clone(),
            };
            names.iter().map(|name| answer(content.get(name))).collect()
        })
    }
}

fn answer(stored: Option<&Result<SourceValue, ErrorKind>>) -> FetchResult {
    match stored {
        Some(Ok(value)) => Ok(value.clone()),
        Some(Err(kind @ ErrorKind::Unavailable)) => {
            Err(FetchError::unreachable(*kind, "injected: unavailable"))
        }
        Some(Err(kind)) => {
            let detail = format!("injected: {}", kind.as_str());
            Err(FetchError::failed(*kind, detail))
        }
        None => Err(FetchError::Absent),
    }
}

impl Config {
    /// Replaces both AWS services with these sources. Combine with [`AwsMode::On`](crate::AwsMode::On).
    #[must_use]
    pub fn sources(mut self, ssm: &MemorySource, secrets_manager: &MemorySource) -> Self {
        let [ssm, secrets_manager] = [ssm, secrets_manager].map(|source| {
            let source: Arc<dyn Source> = Arc::new(source.clone());
            source
        });
        self.aws_replacements = Some([ssm, secrets_manager]);
        self
    }

    /// Reads the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Clock::Manual(Arc::clone(&clock.0));
        self
    }
}
