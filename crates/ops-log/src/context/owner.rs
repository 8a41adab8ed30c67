//! Owner of the context that a thread holds: a worker thread is shared by many tasks.
//!
//! A future that was wrapped brings its context along each time it is polled. A bare task that binds something leaves it
//! on the thread, where the next task must not find it, nor the same task after it bound something else on another thread.

#[cfg(feature = "tokio")]
mod tasks {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use parking_lot::Mutex;
    use tokio::task::Id;

    /// Bare tasks whose last binding is known. Beyond, all of them lose what they bound.
    const MAX_BARE_TASKS: usize = 4096;

    static LAST_BINDING: LazyLock<Mutex<HashMap<Id, u64>>> = LazyLock::new(Mutex::default);
    static BINDINGS: AtomicU64 = AtomicU64::new(1);

    /// The task that a context was bound in, and for a bare task its binding.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Owner {
        task: Option<Id>,
        /// 0 in a scope, which ends with the poll that it began in.
        binding: u64,
    }

    impl Owner {
        pub(crate) const NOBODY: Self = Self {
            task: None,
            binding: 0,
        };

        pub(crate) fn of_scope() -> Self {
            Self {
                task: tokio::task::try_id(),
                binding: 0,
            }
        }

        #[inline]
        pub(crate) fn is_here(&self) -> bool {
            self.task == tokio::task::try_id() && (self.binding == 0 || self.is_last_binding())
        }

        fn is_last_binding(&self) -> bool {
            let last = LAST_BINDING.lock();
            self.task
                .is_none_or(|task| last.get(&task) == Some(&self.binding))
        }

        /// The owner of what is bound next, where this one's context was found.
        pub(crate) fn of_next_binding(&self) -> Self {
            let task = tokio::task::try_id();
            if self.task == task && self.binding == 0 {
                return *self;
            }
            let Some(id) = task else {
                return Self::NOBODY;
            };
            let binding = BINDINGS.fetch_add(1, Ordering::Relaxed);
            let mut last = LAST_BINDING.lock();
            if last.len() >= MAX_BARE_TASKS {
                last.clear();
            }
            last.insert(id, binding);
            Self { task, binding }
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod threads {
    /// Without tokio a thread has one owner.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Owner(());

    impl Owner {
        pub(crate) const NOBODY: Self = Self(());

        pub(crate) fn of_scope() -> Self {
            Self(())
        }

        #[inline]
        pub(crate) fn is_here(&self) -> bool {
            true
        }

        pub(crate) fn of_next_binding(&self) -> Self {
            Self(())
        }
    }
}

#[cfg(feature = "tokio")]
pub(crate) use tasks::Owner;
#[cfg(not(feature = "tokio"))]
pub(crate) use threads::Owner;
