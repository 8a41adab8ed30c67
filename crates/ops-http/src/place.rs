use std::any::Any;
use std::cell::RefCell;

/// Maximum number of places that a thread keeps.
const KEPT: usize = 64;

thread_local! {
    /// Places that are empty, of values of any type.
    static EMPTY: RefCell<Vec<Box<dyn Any + Send>>> = const { RefCell::new(Vec::new()) };
}

/// Place on the heap for a large value that goes from one layer to the next, so that it is not copied each time. Threads keep the places of
/// values that are gone for the next ones: nothing is allocated then.
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

    /// Returns the value, which is there until this is dropped.
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
        *place = None; // before the table is borrowed: this may run any code
        let _ = EMPTY.try_with(|empty| {
            let Ok(mut empty) = empty.try_borrow_mut() else {
                return;
            };
            if empty.len() < KEPT {
                empty.push(place);
            } else if let Some(other) = empty.iter_mut().find(|one| !one.is::<Option<T>>()) {
                *other = place; // so that one type leaves room for another
            }
        });
    }
}
