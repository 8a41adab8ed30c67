//! Owner of the context that a thread holds, because many tasks share a worker thread.
//!
//! A wrapped future brings its context along each time it is polled. Fields bound by a bare task are kept under
//! the task's id: on the thread the next task would find them, and the task itself may continue on another thread.

#[cfg(feature = "tokio")]
mod tasks {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use parking_lot::RwLock;
    use tokio::task::{Id, try_id};

    /// Maximum number of bare tasks whose fields are kept. Beyond it, the half
    /// whose last binding is oldest is dropped: the end of a task is not reported.
    const MAX_BARE_TASKS: usize = 4096;

    /// Task whose context a thread holds; `None` for the thread itself.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Owner(Option<Id>);

    impl Owner {
        pub(crate) const NOBODY: Self = Self(None);

        pub(crate) fn of_scope() -> Self {
            Self(try_id())
        }

        #[inline]
        pub(crate) fn is_here(&self) -> bool {
            self.0 == try_id()
        }
    }

    /// Values bound by bare tasks.
    pub(crate) struct BareTasks<T> {
        /// Set while there are any, so that most processes check only this.
        any: AtomicBool,
        kept: LazyLock<RwLock<TaskValues<T>>>,
    }

    struct TaskValues<T> {
        /// Values, each with the number of its last binding.
        by_id: HashMap<Id, (u64, T)>,
        bindings: u64,
    }

    impl<T: Clone> BareTasks<T> {
        pub(crate) const fn new() -> Self {
            Self {
                any: AtomicBool::new(false),
                kept: LazyLock::new(|| {
                    RwLock::new(TaskValues {
                        by_id: HashMap::new(),
                        bindings: 0,
                    })
                }),
            }
        }

        /// Returns the value of the current task.
        #[inline]
        pub(crate) fn current(&self) -> Option<T> {
            self.any.load(Relaxed).then(|| self.look_up()).flatten()
        }

        #[cold]
        fn look_up(&self) -> Option<T> {
            let id = try_id()?;
            self.kept
                .read()
                .by_id
                .get(&id)
                .map(|(_, kept)| kept.clone())
        }

        /// Keeps a value for the current task; `is_empty` removes
        /// it. Returns the replaced values, for the caller to drop.
        ///
        /// # Errors
        ///
        /// Fails, and returns the value, outside of a task.
        pub(crate) fn keep(&self, what: T, is_empty: bool) -> Result<Vec<T>, T> {
            let Some(id) = try_id() else {
                return Err(what);
            };
            if is_empty && !self.any.load(Relaxed) {
                return Ok(Vec::new());
            }
            let mut kept = self.kept.write();
            let gone = match is_empty {
                true => kept
                    .by_id
                    .remove(&id)
                    .map(|(_, before)| before)
                    .into_iter()
                    .collect(),
                false => kept.put(id, what),
            };
            self.any.store(!kept.by_id.is_empty(), Relaxed);
            Ok(gone)
        }
    }

    impl<T> TaskValues<T> {
        /// Returns the previous value of the task, and values that are dropped for lack of room.
        fn put(&mut self, id: Id, what: T) -> Vec<T> {
            let mut gone = Vec::new();
            if self.by_id.len() >= MAX_BARE_TASKS && !self.by_id.contains_key(&id) {
                let mut numbers: Vec<u64> =
                    self.by_id.values().map(|(number, _)| *number).collect();
                numbers.sort_unstable();
                let oldest_kept = numbers[MAX_BARE_TASKS / 2];
                let old = self
                    .by_id
                    .extract_if(|_, (number, _)| *number < oldest_kept);
                gone.extend(old.map(|(_, (_, what))| what));
            }
            self.bindings += 1;
            let before = self.by_id.insert(id, (self.bindings, what));
            gone.extend(before.map(|(_, before)| before));
            gone
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod threads {
    use std::marker::PhantomData;

    /// Without tokio a thread is its only owner.
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
    }

    /// Empty, because there are no tasks.
    pub(crate) struct BareTasks<T>(PhantomData<fn() -> T>);

    impl<T> BareTasks<T> {
        pub(crate) const fn new() -> Self {
            Self(PhantomData)
        }

        pub(crate) fn current(&self) -> Option<T> {
            None
        }

        pub(crate) fn keep(&self, what: T, _: bool) -> Result<Vec<T>, T> {
            Err(what)
        }
    }
}

#[cfg(feature = "tokio")]
pub(crate) use tasks::{BareTasks, Owner};
#[cfg(not(feature = "tokio"))]
pub(crate) use threads::{BareTasks, Owner};
