//! Calls into the application's code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use crate::event::QueryEvent;

/// Work to be run on another thread.
pub type Job = Box<dyn FnOnce() + Send>;
type ContextCarrier = Box<dyn Fn(Job) -> Job + Send + Sync>;
type QueryHook = Arc<dyn Fn(&QueryEvent) + Send + Sync>;

/// Callbacks registered with a cache.
#[derive(Default)]
pub(super) struct Hooks {
    on_query: RwLock<Vec<QueryHook>>,
    carry: OnceLock<ContextCarrier>,
}

impl Hooks {
    pub(super) fn add_on_query(&self, hook: impl Fn(&QueryEvent) + Send + Sync + 'static) {
        self.on_query.write().push(Arc::new(hook));
    }

    /// Sets the context carrier; later calls are ignored.
    pub(super) fn set_carry(&self, carry: impl Fn(Job) -> Job + Send + Sync + 'static) {
        let _first = self.carry.set(Box::new(carry));
    }

    /// Calls each hook; a panic in one is logged and does not affect the others.
    pub(super) fn notify(&self, event: &QueryEvent) {
        let hooks = self.on_query.read().clone();
        for hook in &hooks {
            if catch_unwind(AssertUnwindSafe(|| hook(event))).is_err() {
                tracing::error!(target: "data_cache", "query_hook_panicked");
            }
        }
    }

    /// Returns `true` if a context carrier is set.
    pub(super) fn carries(&self) -> bool {
        self.carry.get().is_some()
    }

    /// Wraps the job in the context of this thread. If the carrier panics, the job is dropped, which fails its query.
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
