//! State of a cache, shared by its clones.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::disk_health::DiskHealth;
use super::generations::{GenerationStamp, Generations};
use super::hooks::Hooks;
use super::pending::PendingOrders;
use super::revalidation::Revalidations;
use super::time::Time;
use crate::config::{Config, QueryCache};
use crate::disk::Disk;
use crate::error::Error;
use crate::event::QueryEvent;
use crate::failpoint::Failpoints;
use crate::flight::{FlightId, Flights, Led};
use crate::index::Index;
use crate::invalidations::Invalidations;
use crate::key::Key;
use crate::memory::Memory;
use crate::pool::Pool;
use crate::shared_tier::Attached;
use crate::stats::Counters;
use crate::ttl::Ttls;

/// Maximum bytes of idle buffers for reading files; also limited to an eighth of `memory_mb`, unless that is 0.
const MAX_IDLE_BYTES: usize = 64 << 20;
/// Maximum time that a caller waits for another caller's computation; then it computes too.
const MAX_WAIT: Duration = Duration::from_secs(60);

const YEAR: Duration = Duration::from_secs(31_536_000);

/// Outcome of a computation, for the callers that waited for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// Stored: waiters look it up again.
    Stored,
    /// Not stored: all waiters compute on their own, concurrently.
    NotStored,
    /// Failed: the next waiter tries.
    Failed,
}

pub(crate) struct Inner {
    /// Reference to itself, for work on other threads.
    pub(super) weak_self: Weak<Self>,
    pub(super) config: QueryCache,
    pub(super) ttls: Ttls,
    pub(super) memory: Memory,
    pub(super) disk: Option<Disk>,
    pub(super) disk_health: DiskHealth,
    pub(super) index: Index,
    /// `true` if the files of earlier runs are in the index.
    pub(super) is_indexed: Mutex<bool>,
    /// Held while the index is brought up to date: a thread that applies an older journal would drop what another one
    /// has just listed, and the journal that the other one writes would lack it.
    pub(super) following: Mutex<()>,
    pub(super) generations: Generations,
    pub(super) flights: Flights<Key, Outcome>,
    pub(super) pending: PendingOrders,
    pub(super) revalidations: Revalidations,
    /// Number of callers in [`wait_idle`](Self::wait_idle).
    flushes: AtomicUsize,
    pub(super) counters: Counters,
    pub(super) invalidations: Invalidations,
    pub(super) hooks: Hooks,
    pub(super) time: Time,
    pub(super) failpoints: Failpoints,
    /// The tier that machines share.
    pub(super) shared: Attached,
    /// Threads that read files, separate so that a hit never waits for a computation.
    pub(super) readers: Pool,
    /// Threads that wait for engines and write files.
    pub(super) workers: Pool,
}

impl Inner {
    pub(super) fn open(dir: &Path, config: &Config) -> Result<Arc<Self>, Error> {
        let config = config.query_cache.clone();
        let failpoints = Failpoints::default();
        let disk = if config.enabled && config.max_size_mb > 0 {
            let limit = config.max_size_mb.saturating_mul(1 << 20);
            let idle = match config.memory_mb {
                0 => MAX_IDLE_BYTES,
                mib => MAX_IDLE_BYTES
                    .min(usize::try_from(mib.saturating_mul(1 << 17)).unwrap_or(usize::MAX)),
            };
            let opened = Disk::open(dir, config.durability, limit, idle, failpoints.clone());
            Some(opened.map_err(|error| {
                Error::io(format!(
                    "cannot open the cache in {}: {error}",
                    dir.display()
                ))
            })?)
        } else {
            None
        };
        let flights = disk.as_ref().map_or_else(
            || Flights::new(MAX_WAIT),
            |disk| Flights::to_directory(&disk.place(), MAX_WAIT),
        );
        let ttls = Ttls::new(&config)?;
        let opened = Arc::new_cyclic(|weak_self| Self {
            weak_self: weak_self.clone(),
            ttls,
            memory: Memory::new(config.memory_mb),
            config,
            generations: Generations::new(disk.as_ref()),
            disk,
            disk_health: DiskHealth::default(),
            index: Index::default(),
            is_indexed: Mutex::new(false),
            following: Mutex::new(()),
            flights,
            pending: PendingOrders::default(),
            revalidations: Revalidations::default(),
            flushes: AtomicUsize::new(0),
            counters: Counters::default(),
            invalidations: Invalidations::default(),
            hooks: Hooks::default(),
            time: Time::default(),
            failpoints,
            shared: Attached::default(),
            readers: Pool::default(),
            workers: Pool::default(),
        });
        opened.load_pending();
        Ok(opened)
    }

    /// Runs a lookup on another thread, in the context of this one.
    pub(crate) fn run_lookup(&self, work: impl FnOnce() + Send + 'static) {
        self.readers
            .run(self.hooks.carried(Led::current().carried(work)));
    }

    /// Runs a query on another thread, in the context of this one.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) {
        self.workers
            .run(self.hooks.carried(Led::current().carried(work)));
    }

    /// Creates flights of queries whose results are in this cache.
    pub(crate) fn flights_of_queries<I: FlightId, T: Clone + Send + 'static>(
        &self,
        limit: Duration,
    ) -> Flights<I, T> {
        self.flights.to_same_results(limit)
    }

    /// Waits until no work is left; lookups may pass work on to the workers.
    pub(super) fn wait_idle(&self, limit: Duration) -> bool {
        let now = Instant::now();
        // `limit` may exceed what the clock can represent; a year is long enough
        let deadline = now.checked_add(limit).unwrap_or(now + YEAR);
        self.flushes.fetch_add(1, Ordering::Relaxed);
        let is_idle = loop {
            let is_idle = self.readers.wait_idle(deadline) && self.workers.wait_idle(deadline);
            if !is_idle || self.readers.is_idle() {
                break is_idle && self.shared.wait_idle(deadline);
            }
        };
        self.flushes.fetch_sub(1, Ordering::Relaxed);
        is_idle
    }

    /// Returns `true` while a caller is in [`wait_idle`](Self::wait_idle):
    /// background work then does not wait for other machines.
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushes.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn notify(&self, event: &QueryEvent) {
        self.hooks.notify(event);
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn config(&self) -> &QueryCache {
        &self.config
    }

    /// Returns `true` if the operator's pattern for this query permits storing a result that depends on `name`.
    pub(crate) fn permits(&self, normal_sql: &str, name: &str) -> bool {
        self.ttls.permits(normal_sql, name)
    }

    /// Returns `true` if the operator configured a TTL for this query.
    pub(crate) fn has_configured_ttl(&self, normal_sql: &str) -> bool {
        self.ttls.configured(normal_sql).is_some()
    }

    /// Returns the current invalidation counts; called before a computation starts.
    pub(crate) fn stamp(&self) -> GenerationStamp {
        let stamp = self.generations.stamp(self.disk.as_ref());
        match &self.disk {
            Some(disk) if stamp.shared.is_none() => {
                self.renew(disk);
                self.generations.stamp(Some(disk))
            }
            _ => stamp,
        }
    }

    /// Recreates a directory that was removed, which counts as cleared,
    /// or a damaged count; earlier invalidations are then unknown.
    pub(super) fn renew(&self, disk: &Disk) {
        // lock order: the directory before the count
        if disk.generation_or_new().is_none() {
            return;
        }
        let Some(state) = disk.state() else { return };
        let mut own = self.generations.own_mut();
        let seen = self.generations.seen();
        // the directory was replaced by an older copy meanwhile: the next check clears it
        let is_older = seen.is_some_and(|seen| state.generation.is_before(seen));
        if is_older || seen == Some(state.generation) {
            return;
        }
        *own += 1;
        self.memory.clear(|_| true);
        self.load_orders(disk, &state, state.settled);
        self.generations.record(state.generation);
    }

    pub(crate) fn own_generation(&self) -> u64 {
        *self.generations.own()
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.time.seconds()
    }

    /// Seconds since 1970 by the steady clock, with which entries are stamped.
    pub(crate) fn steady_seconds(&self) -> u64 {
        self.time.steady_seconds()
    }

    pub(super) fn now_millis(&self) -> u64 {
        self.time.millis()
    }

    /// Returns the files, unless they must not be read.
    pub(super) fn readable_disk(&self) -> Option<&Disk> {
        let is_trusted = self.disk_health.is_trusted();
        self.disk.as_ref().filter(|_| is_trusted)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn set_clock(&self, clock: crate::clock::Clock) {
        self.time.set_clock(clock);
    }

    #[cfg(feature = "testing")]
    pub(crate) fn failpoints(&self) -> &Failpoints {
        &self.failpoints
    }

    #[cfg(feature = "testing")]
    pub(crate) fn set_largest_inline(&self, bytes: usize) {
        if let Some(disk) = &self.disk {
            disk.set_max_inline_bytes(bytes);
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn set_longest_wait(&self, limit: Duration) {
        self.flights.set_limit(limit);
    }

    /// Makes the next lookup check for changes by other processes.
    #[cfg(feature = "testing")]
    pub(crate) fn look_at_others_now(&self) {
        self.recheck_now();
    }
}
