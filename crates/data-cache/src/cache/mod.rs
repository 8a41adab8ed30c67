//! The cache: memory above files.

mod asynchronous;
mod compute;
mod hit;
mod look_up;
mod removal;
mod report;
mod store;
mod sweep;

pub(crate) use compute::Plan;
pub use hit::{Hit, Lookup};
pub(crate) use store::StoreRequest;
pub use store::{Skip, Stored};

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::clock::Clock;
use crate::config::{Config, QueryCache};
use crate::disk::Disk;
use crate::error::Error;
use crate::event::QueryEvent;
use crate::failpoint::Failpoints;
use crate::flight::Flights;
use crate::index::Index;
use crate::invalidations::Invalidations;
use crate::key::{Key, KeyInputs};
use crate::memory::Memory;
use crate::params::Params;
use crate::pool::Pool;
use crate::scope::Scope;
use crate::sql;
use crate::stats::Counters;
use crate::ttl::Ttls;

type Hook = Arc<dyn Fn(&QueryEvent) + Send + Sync>;
/// Work on its way to another thread.
pub type Job = Box<dyn FnOnce() + Send>;
type ContextCarrier = Box<dyn Fn(Job) -> Job + Send + Sync>;

/// Results of queries in memory and in files; clones share one cache.
///
/// The methods without `async` in their name read and write files on the calling thread.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    scope: Scope,
}

pub(crate) struct Inner {
    config: QueryCache,
    ttls: Ttls,
    disk: Option<Disk>,
    /// Files could not be removed when they had to be: they are not read any more.
    disk_distrusted: AtomicBool,
    /// No file is written before this moment, in milliseconds since 1970: the disk was full.
    paused_until: AtomicU64,
    memory: Memory,
    index: Index,
    /// Whether the files of earlier runs are in the index.
    indexed: Mutex<bool>,
    generation: Generation,
    /// Bytes stored since the directory was last swept.
    unswept: AtomicU64,
    flights: Flights<Key, compute::Outcome>,
    counters: Counters,
    invalidations: Invalidations,
    hooks: RwLock<Vec<Hook>>,
    carry: OnceLock<ContextCarrier>,
    clock: RwLock<Clock>,
    failpoints: Failpoints,
    pool: Pool,
    started: Instant,
    /// Added to the time since then; tests move it.
    elapsed_offset: AtomicU64,
}

/// Counts of invalidations: a result is kept only if none moved while it was computed.
struct Generation {
    /// Of this process. Whoever invalidates holds it alone.
    own: RwLock<u64>,
    /// Of all processes, as last seen.
    seen: AtomicU64,
    /// When it was last looked at, in milliseconds of the process.
    looked_at: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GenerationStamp {
    own: u64,
    shared: Option<u64>,
}

impl Cache {
    /// Opens the cache in `dir`, with the defaults of [`Config`].
    ///
    /// # Errors
    ///
    /// Where the directory cannot be made, or holds something else than a cache.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(dir, &Config::default())
    }

    /// Opens the cache in `dir`, creating it where missing. A directory that holds something else is refused.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be made, or holds something else than a cache.
    pub fn open_with(dir: impl AsRef<Path>, config: &Config) -> Result<Self, Error> {
        let (dir, config) = (dir.as_ref(), config.query_cache.clone());
        let failpoints = Failpoints::default();
        let disk = if config.enabled && config.max_size_mb > 0 {
            let limit = config.max_size_mb.saturating_mul(1 << 20);
            let opened = Disk::open(dir, config.durability, limit, failpoints.clone());
            Some(opened.map_err(|error| {
                Error::io(format!(
                    "cannot open the cache in {}: {error}",
                    dir.display()
                ))
            })?)
        } else {
            None
        };
        let seen = disk.as_ref().and_then(Disk::generation).unwrap_or(0);
        let inner = Arc::new(Inner {
            ttls: Ttls::new(&config)?,
            memory: Memory::new(config.memory_mb),
            config,
            disk,
            disk_distrusted: AtomicBool::new(false),
            paused_until: AtomicU64::new(0),
            index: Index::default(),
            indexed: Mutex::new(false),
            generation: Generation {
                own: RwLock::new(0),
                seen: AtomicU64::new(seen),
                looked_at: AtomicU64::new(0),
            },
            unswept: AtomicU64::new(0),
            flights: Flights::default(),
            counters: Counters::default(),
            invalidations: Invalidations::default(),
            hooks: RwLock::default(),
            carry: OnceLock::new(),
            clock: RwLock::default(),
            failpoints,
            pool: Pool::default(),
            started: Instant::now(),
            elapsed_offset: AtomicU64::new(0),
        });
        let cache = Self {
            inner,
            scope: Scope::Shared,
        };
        let indexing = cache.inner.clone();
        cache.inner.pool.run(move || indexing.index_files());
        Ok(cache)
    }

    /// The same cache, for results of this scope.
    #[must_use]
    pub fn scope(&self, scope: Scope) -> Self {
        Self {
            inner: self.inner.clone(),
            scope,
        }
    }

    /// The key of a question that was put in with [`set`](Self::set), for many lookups of it.
    pub fn key(&self, sql: &str, params: &Params) -> Key {
        let normal_sql = sql::normalize(sql);
        let inputs = KeyInputs {
            scope: &self.scope,
            database: "default",
            state: "",
            normal_sql: &normal_sql,
        };
        Key::of(&inputs, params)
    }

    /// Calls `hook` after each query of a warehouse that uses this cache, on the thread that answered it.
    pub fn on_query(&self, hook: impl Fn(&QueryEvent) + Send + Sync + 'static) {
        self.inner.hooks.write().push(Arc::new(hook));
    }

    /// Wraps the work of each query before another thread takes it, where it was asked: whoever has a span or a log context
    /// takes it along, so that hooks and log lines there belong to the question. The first call counts.
    pub fn carry_context(&self, carry: impl Fn(Job) -> Job + Send + Sync + 'static) {
        let _first = self.inner.carry.set(Box::new(carry));
    }

    /// Waits until results that were computed are written to files, at most this long; says whether they are.
    pub fn flush(&self, limit: Duration) -> bool {
        self.inner.pool.wait_idle(limit)
    }

    pub(crate) fn emit(&self, event: &QueryEvent) {
        let hooks = self.inner.hooks.read().clone();
        hooks.iter().for_each(|hook| hook(event));
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn own_scope(&self) -> &Scope {
        &self.scope
    }
}

impl Inner {
    /// Runs a query's work on another thread, under the context of this one.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) {
        match self.carry.get() {
            Some(carry) => self.pool.run(carry(Box::new(work))),
            None => self.pool.run(work),
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn config(&self) -> &QueryCache {
        &self.config
    }

    /// Whether the operator wrote down a time for this query: that permits to keep what would not be kept.
    pub(crate) fn has_configured_ttl(&self, normal_sql: &str) -> bool {
        self.ttls.configured(normal_sql).is_some()
    }

    /// The counts now; taken before a computation starts.
    pub(crate) fn stamp(&self) -> GenerationStamp {
        GenerationStamp {
            own: *self.generation.own.read(),
            shared: self.disk.as_ref().and_then(Disk::generation),
        }
    }

    pub(crate) fn own_generation(&self) -> u64 {
        *self.generation.own.read()
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.clock.read().seconds()
    }

    fn now_millis(&self) -> u64 {
        self.clock.read().millis()
    }

    /// Milliseconds since the cache was opened, by a clock that never steps.
    fn elapsed_millis(&self) -> u64 {
        let offset = self
            .elapsed_offset
            .load(std::sync::atomic::Ordering::Relaxed);
        u64::try_from(self.started.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(offset)
    }

    /// The files, unless they may not be read.
    fn readable_disk(&self) -> Option<&Disk> {
        let distrusted = self
            .disk_distrusted
            .load(std::sync::atomic::Ordering::Acquire);
        self.disk.as_ref().filter(|_| !distrusted)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn set_clock(&self, clock: Clock) {
        *self.clock.write() = clock;
    }

    #[cfg(feature = "testing")]
    pub(crate) fn failpoints(&self) -> &Failpoints {
        &self.failpoints
    }

    /// The next lookup looks at what other processes did.
    #[cfg(feature = "testing")]
    pub(crate) fn look_at_others_now(&self) {
        self.recheck_now();
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
