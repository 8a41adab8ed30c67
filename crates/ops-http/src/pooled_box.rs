use std::any::Any;
use std::cell::RefCell;

/// Maximum number of empty boxes kept per thread.
const MAX_POOLED: usize = 64;

thread_local! {
    /// Empty boxes for values of any type.
    static POOL: RefCell<Vec<Box<dyn Any + Send>>> = const { RefCell::new(Vec::new()) };
}

/// Box for a large value that passes from one layer to the next, so that it is not
/// copied each time. Threads reuse the boxes of dropped values instead of allocating.
pub(crate) struct PooledBox<T: Send + 'static>(Option<Box<Option<T>>>);

impl<T: Send + 'static> PooledBox<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(match Self::take_pooled() {
            Some(mut pooled) => {
                *pooled = Some(value);
                pooled
            }
            None => Box::new(Some(value)),
        }))
    }

    /// Returns the value, which is present until this is dropped.
    pub(crate) fn get(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()?.as_mut()
    }

    fn take_pooled() -> Option<Box<Option<T>>> {
        let kept = POOL.try_with(|pool| {
            let mut pool = pool.try_borrow_mut().ok()?;
            let at = pool.iter().rposition(|pooled| pooled.is::<Option<T>>())?;
            Some(pool.swap_remove(at))
        });
        kept.ok().flatten()?.downcast().ok()
    }
}

impl<T: Send + 'static> Drop for PooledBox<T> {
    fn drop(&mut self) {
        let Some(mut pooled) = self.0.take() else {
            return;
        };
        *pooled = None; // before the table is borrowed: the value's `Drop` may run any code
        let _ = POOL.try_with(|pool| {
            let Ok(mut pool) = pool.try_borrow_mut() else {
                return;
            };
            if pool.len() < MAX_POOLED {
                pool.push(pooled);
            } else if let Some(other) = pool.iter_mut().find(|slot| !slot.is::<Option<T>>()) {
                *other = pooled; // so that one type does not crowd out the others
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn address<T: Send>(pooled: &mut PooledBox<T>) -> usize {
        std::ptr::from_mut(pooled.get().expect("a value")).addr()
    }

    #[test]
    fn a_value_is_dropped_once_with_its_box() {
        let value = Arc::new(());
        let mut pooled = PooledBox::new(Arc::clone(&value));
        assert!(pooled.get().is_some_and(|known| Arc::ptr_eq(known, &value)));
        assert!(pooled.get().is_some());
        drop(pooled);
        assert_eq!(Arc::strong_count(&value), 1);
        // the next user does not find the previous value
        let mut pooled = PooledBox::new(Arc::new(()));
        assert!(!pooled.get().is_some_and(|known| Arc::ptr_eq(known, &value)));
    }

    #[test]
    fn the_box_of_a_dropped_value_is_reused_for_the_same_type() {
        let mut first = PooledBox::new(1_u64);
        let mut second = PooledBox::new(2_u64);
        let addresses = [address(&mut first), address(&mut second)];
        assert_ne!(addresses[0], addresses[1]);
        drop(first);
        let mut other = PooledBox::new([3_u64; 4]);
        assert!(!addresses.contains(&address(&mut other)));
        let mut third = PooledBox::new(4_u64);
        assert_eq!(
            (address(&mut third), third.get()),
            (addresses[0], Some(&mut 4))
        );
        assert_eq!(second.get(), Some(&mut 2));
    }

    #[test]
    fn one_type_does_not_crowd_out_the_others() {
        let many: Vec<_> = (0..2 * MAX_POOLED).map(|_| PooledBox::new(1_u64)).collect();
        let mut other = PooledBox::new([2_u64; 4]);
        let at = address(&mut other);
        drop(many);
        drop(other);
        assert_eq!(POOL.with_borrow(Vec::len), MAX_POOLED);
        assert_eq!(address(&mut PooledBox::new([3_u64; 4])), at);
    }

    /// Value whose drop creates and drops pooled boxes.
    struct Busy(Arc<AtomicUsize>);

    impl Drop for Busy {
        fn drop(&mut self) {
            let mut pooled = PooledBox::new(self.0.fetch_add(1, Ordering::Relaxed));
            assert!(pooled.get().is_some());
        }
    }

    #[test]
    fn a_value_may_use_the_pool_while_it_is_dropped_and_at_the_end_of_its_thread() {
        thread_local! {
            static LAST: Cell<Option<Rc<PooledBox<Busy>>>> = const { Cell::new(None) };
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let of_thread = Arc::clone(&drops);
        let thread = std::thread::spawn(move || {
            LAST.set(Some(Rc::new(PooledBox::new(Busy(Arc::clone(&of_thread))))));
            drop(PooledBox::new(Busy(of_thread)));
        });
        thread.join().expect("no panic");
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_box_is_pooled_by_the_thread_that_drops_it() {
        let mut pooled = PooledBox::new(1_u64);
        let at = address(&mut pooled);
        let kept = POOL.with_borrow(Vec::len);
        let thread = std::thread::spawn(move || {
            drop(pooled);
            address(&mut PooledBox::new(2_u64))
        });
        assert_eq!(thread.join().expect("no panic"), at);
        assert_eq!(POOL.with_borrow(Vec::len), kept);
    }
}
