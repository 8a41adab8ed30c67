use std::any::Any;
use std::cell::RefCell;

/// Maximum number of empty boxes kept per thread.
const KEPT: usize = 64;

thread_local! {
    /// Empty boxes for values of any type.
    static EMPTY: RefCell<Vec<Box<dyn Any + Send>>> = const { RefCell::new(Vec::new()) };
}

/// Box for a large value that passes from one layer to the next, so that it is not
/// copied each time. Threads reuse the boxes of dropped values instead of allocating.
pub(crate) struct Place<T: Send + 'static>(Option<Box<Option<T>>>);

impl<T: Send + 'static> Place<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(match Self::kept() {
            Some(mut place) => {
                *place = Some(value);
                place
            }
            None => Box::new(Some(value)),
        }))
    }

    /// Returns the value, which is present until this is dropped.
    pub(crate) fn get(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()?.as_mut()
    }

    fn kept() -> Option<Box<Option<T>>> {
        let kept = EMPTY.try_with(|empty| {
            let mut empty = empty.try_borrow_mut().ok()?;
            let at = empty.iter().rposition(|place| place.is::<Option<T>>())?;
            Some(empty.swap_remove(at))
        });
        kept.ok().flatten()?.downcast().ok()
    }
}

impl<T: Send + 'static> Drop for Place<T> {
    fn drop(&mut self) {
        let Some(mut place) = self.0.take() else {
            return;
        };
        *place = None; // before the table is borrowed: the value's `Drop` may run any code
        let _ = EMPTY.try_with(|empty| {
            let Ok(mut empty) = empty.try_borrow_mut() else {
                return;
            };
            if empty.len() < KEPT {
                empty.push(place);
            } else if let Some(other) = empty.iter_mut().find(|one| !one.is::<Option<T>>()) {
                *other = place; // so that one type does not crowd out the others
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

    fn address<T: Send>(place: &mut Place<T>) -> usize {
        std::ptr::from_mut(place.get().expect("a value")).addr()
    }

    #[test]
    fn a_value_is_there_until_its_place_is_dropped_and_dropped_once() {
        let value = Arc::new(());
        let mut place = Place::new(Arc::clone(&value));
        assert!(place.get().is_some_and(|known| Arc::ptr_eq(known, &value)));
        assert!(place.get().is_some());
        drop(place);
        assert_eq!(Arc::strong_count(&value), 1);
        // the next user does not find the previous value
        let mut place = Place::new(Arc::new(()));
        assert!(!place.get().is_some_and(|known| Arc::ptr_eq(known, &value)));
    }

    #[test]
    fn the_place_of_a_value_that_is_gone_is_that_of_the_next_one_of_its_type() {
        let mut first = Place::new(1_u64);
        let mut second = Place::new(2_u64);
        let places = [address(&mut first), address(&mut second)];
        assert_ne!(places[0], places[1]);
        drop(first);
        let mut other = Place::new([3_u64; 4]);
        assert!(!places.contains(&address(&mut other)));
        let mut third = Place::new(4_u64);
        assert_eq!(
            (address(&mut third), third.get()),
            (places[0], Some(&mut 4))
        );
        assert_eq!(second.get(), Some(&mut 2));
    }

    #[test]
    fn one_type_leaves_room_for_another() {
        let many: Vec<_> = (0..2 * KEPT).map(|_| Place::new(1_u64)).collect();
        let mut other = Place::new([2_u64; 4]);
        let at = address(&mut other);
        drop(many);
        drop(other);
        assert_eq!(EMPTY.with_borrow(Vec::len), KEPT);
        assert_eq!(address(&mut Place::new([3_u64; 4])), at);
    }

    /// Value whose drop creates and drops places.
    struct Busy(Arc<AtomicUsize>);

    impl Drop for Busy {
        fn drop(&mut self) {
            let mut place = Place::new(self.0.fetch_add(1, Ordering::Relaxed));
            assert!(place.get().is_some());
        }
    }

    #[test]
    fn a_value_may_use_places_while_it_is_dropped_and_at_the_end_of_its_thread() {
        thread_local! {
            static LAST: Cell<Option<Rc<Place<Busy>>>> = const { Cell::new(None) };
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let of_thread = Arc::clone(&drops);
        let thread = std::thread::spawn(move || {
            LAST.set(Some(Rc::new(Place::new(Busy(Arc::clone(&of_thread))))));
            drop(Place::new(Busy(of_thread)));
        });
        thread.join().expect("no panic");
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_place_is_kept_by_the_thread_that_drops_it() {
        let mut place = Place::new(1_u64);
        let at = address(&mut place);
        let kept = EMPTY.with_borrow(Vec::len);
        let thread = std::thread::spawn(move || {
            drop(place);
            address(&mut Place::new(2_u64))
        });
        assert_eq!(thread.join().expect("no panic"), at);
        assert_eq!(EMPTY.with_borrow(Vec::len), kept);
    }
}
