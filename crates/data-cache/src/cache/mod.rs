//! The cache: a memory tier above files.

mod asynchronous;
mod blocking;
mod carried;
mod coalesce;
mod contents;
mod disk_health;
mod entries;
mod generations;
mod hit;
mod hooks;
mod inner;
mod look_up;
mod pending;
mod removal;
mod report;
mod revalidation;
#[cfg(feature = "shared")]
mod shared;
#[cfg(not(feature = "shared"))]
#[path = "absent_shared.rs"]
mod shared;
mod shown_pattern;
mod skip;
mod store;
mod sweep;
mod time;
mod turn;

pub(crate) use coalesce::{IsUnchanged, Plan};
pub(crate) use generations::GenerationStamp;
pub use hit::{Hit, Lookup};
pub use hooks::Job;
pub(crate) use inner::Inner;
pub(crate) use look_up::{Awaited, Limits};
pub(crate) use shared::{Duty, SharedTurn};
pub use skip::Skip;
pub(crate) use store::StoreRequest;
pub use store::Stored;
pub(crate) use turn::{Turn, WaitingThread};

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::event::QueryEvent;
use crate::key::{Key, KeyInputs};
use crate::params::Params;
use crate::scope::Scope;
use crate::sql::{self, Dialect};

/// Query results in memory and in files; clones share one cache.
///
/// The methods without `async` in their name read and write files on the calling thread.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    scope: Scope,
    dialect: Dialect,
}

impl Cache {
    /// Opens the cache in `dir`, with the defaults of [`Config`].
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be created, or contains anything other than a cache.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(dir, &Config::default())
    }

    /// Opens the cache in `dir`, which is created if missing.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be created, or contains anything other than a cache.
    pub fn open_with(dir: impl AsRef<Path>, config: &Config) -> Result<Self, Error> {
        let inner = Inner::open(dir.as_ref(), config)?;
        let cache = Self {
            inner,
            scope: Scope::Shared,
            dialect: Dialect::Unknown,
        };
        let indexing = cache.inner.clone();
        cache.inner.workers.run(move || {
            indexing.index_files();
            indexing.remove_orphans();
        });
        Ok(cache)
    }

    /// Returns a handle to this cache for results of the given scope.
    #[must_use]
    pub fn scope(&self, scope: Scope) -> Self {
        Self {
            inner: self.inner.clone(),
            scope,
            dialect: self.dialect,
        }
    }

    /// Returns a handle to this cache for SQL in the given dialect, stored with [`set`](Self::set). Without a dialect,
    /// whitespace is normalized only in texts that all common dialects read alike.
    #[must_use]
    pub fn dialect(&self, dialect: Dialect) -> Self {
        Self {
            dialect,
            ..self.clone()
        }
    }

    /// Returns the key of a result stored with [`set`](Self::set), for repeated lookups.
    pub fn key(&self, sql: &str, params: &Params) -> Key {
        self.key_and_label(sql, params).0
    }

    fn key_and_label<'a>(&self, sql: &'a str, params: &Params) -> (Key, Cow<'a, str>) {
        let normal_sql = sql::normalize(sql, self.dialect);
        let inputs = KeyInputs {
            scope: &self.scope,
            database: "default",
            state: "",
            dialect: self.dialect,
            normal_sql: &normal_sql,
        };
        (Key::of(&inputs, params), normal_sql)
    }

    /// Calls `hook` after each query of a warehouse that uses this cache, on the thread that produced the result.
    pub fn on_query(&self, hook: impl Fn(&QueryEvent) + Send + Sync + 'static) {
        self.inner.hooks.add_on_query(hook);
    }

    /// Sets a wrapper for work that moves to another thread, called where the query was issued: it can carry
    /// a span or a log context along, so that hooks and log lines on that thread belong to the query. Each
    /// poll of a computation that is a separate task ([`get_or_compute_async`](Self::get_or_compute_async))
    /// is wrapped too. Only the first call has an effect.
    pub fn carry_context(&self, carry: impl Fn(Job) -> Job + Send + Sync + 'static) {
        self.inner.hooks.set_carry(carry);
    }

    /// Waits up to `limit` until computed results are written to files; returns `false` on timeout.
    pub fn flush(&self, limit: Duration) -> bool {
        self.inner.wait_idle(limit)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn own_scope(&self) -> &Scope {
        &self.scope
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("scope", &self.scope)
            .field("stats", &self.get_stats())
            .finish_non_exhaustive()
    }
}
