//! Owner of the context that a thread holds: a worker thread is shared by many tasks.
//!
//! A future that was wrapped brings its context along each time it is polled. What a bare task binds is kept under the id of the
//! task: on the thread the next task would find it, and the task itself may go on on another one.

#[cfg(feature = "tokio")]
mod tasks {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use parking_lot::RwLock;
    use tokio::task::{Id, try_id};

    /// Bare tasks that something is kept for. Beyond, the half of them that bound something longest ago lose it: nobody says that a
    /// task ended.
    const MAX_BARE_TASKS: usize = 4096;

    /// The task whose context a thread holds; `None` for the thread's own.
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

    /// Map of what bare tasks have bound.
    pub(crate) struct BareTasks<T> {
        /// Set while there is any: most processes ask no further.
        any: AtomicBool,
        kept: LazyLock<RwLock<Kept<T>>>,
    }

    struct Kept<T> {
        /// Values, each with the number of its binding.
        of: HashMap<Id, (u64, T)>,
        bindings: u64,
    }

    impl<T: Clone> BareTasks<T> {
        pub(crate) const fn new() -> Self {
            Self {
                any: AtomicBool::new(false),
                kept: LazyLock::new(|| {
                    RwLock::new(Kept {
                        of: HashMap::new(),
                        bindings: 0,
                    })
                }),
            }
        }

        /// Returns what the task that runs has bound.
        #[inline]
        pub(crate) fn current(&self) -> Option<T> {
            self.any.load(Relaxed).then(|| self.look_up()).flatten()
        }

        #[cold]
        fn look_up(&self) -> Option<T> {
            let id = try_id()?;
            self.kept.read().of.get(&id).map(|(_, kept)| kept.clone())
        }

        /// Keeps this for the task that runs; `is_empty` frees its place. Returns what was there, for the caller to drop.
        ///
        /// # Errors
        ///
        /// Fails, and gives it back, if no task runs.
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
                    .of
                    .remove(&id)
                    .map(|(_, before)| before)
                    .into_iter()
                    .collect(),
                false => kept.put(id, what),
            };
            self.any.store(!kept.of.is_empty(), Relaxed);
            Ok(gone)
        }
    }

    impl<T> Kept<T> {
        /// Returns what was kept for the task, and what there is no room for any more.
        fn put(&mut self, id: Id, what: T) -> Vec<T> {
            let mut gone = Vec::new();
            if self.of.len() >= MAX_BARE_TASKS && !self.of.contains_key(&id) {
                let mut numbers: Vec<u64> = self.of.values().map(|(number, _)| *number).collect();
                numbers.sort_unstable();
                let oldest_kept = numbers[MAX_BARE_TASKS / 2];
                let old = self.of.extract_if(|_, (number, _)| *number < oldest_kept);
                gone.extend(old.map(|(_, (_, what))| what));
            }
            self.bindings += 1;
            let before = self.of.insert(id, (self.bindings, what));
            gone.extend(before.map(|(_, before)| before));
            gone
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod threads {
    use std::marker::PhantomData;

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
    }

    /// Nothing: there are no tasks.
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
