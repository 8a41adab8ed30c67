//! Calls of the application's own code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use crate::event::QueryEvent;

/// Work on its way to another thread.
pub type Job = Box<dyn FnOnce() + Send>;
type ContextCarrier = Box<dyn Fn(Job) -> Job + Send + Sync>;
type QueryHook = Arc<dyn Fn(&QueryEvent) + Send + Sync>;

/// Callbacks that were registered with a cache.
#[derive(Default)]
pub(super) struct Hooks {
    on_query: RwLock<Vec<QueryHook>>,
    carry: OnceLock<ContextCarrier>,
}

impl Hooks {
    pub(super) fn add_on_query(&self, hook: impl Fn(&QueryEvent) + Send + Sync + 'static) {
        self.on_query.write().push(Arc::new(hook));
    }

    /// The first carrier counts.
    pub(super) fn set_carry(&self, carry: impl Fn(Job) -> Job + Send + Sync + 'static) {
        let _first = self.carry.set(Box::new(carry));
    }

    /// Calls each hook; a panic of one is logged, and is nobody else's.
    pub(super) fn notify(&self, event: &QueryEvent) {
        let hooks = self.on_query.read().clone();
        for hook in &hooks {
            if catch_unwind(AssertUnwindSafe(|| hook(event))).is_err() {
                tracing::error!(target: "data_cache", "query_hook_panicked");
            }
        }
    }

    /// Returns `true` if somebody carries contexts.
    pub(super) fn carries(&self) -> bool {
        self.carry.get().is_some()
    }

    /// The job under the context of this thread. If the carrier panics the job is dropped, which fails its query.
    pub(super) fn carried(&self, job: Job) -> Job {
        let Some(carry) = self.carry.get() else {
            return job;
        };
        catch_unwind(AssertUnwindSafe(|| carry(job))).unwrap_or_else(|_| {
            tracing::error!(target: "data_cache", "context_carrier_panicked");
            Box::new(|| ())
        })
    }
}
