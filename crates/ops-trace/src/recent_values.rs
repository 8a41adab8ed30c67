/// Number of places in which a value may be stored.
const TRIES: usize = 4;

/// Table of recent values with `PLACES` places. A value is found by a number derived from it, which selects [`TRIES`]
/// places; if all of them are taken, a new value replaces the first.
#[derive(Debug)]
pub(crate) struct RecentValues<T, const PLACES: usize>(Vec<Option<T>>);

impl<T, const PLACES: usize> RecentValues<T, PLACES> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn find(&self, number: usize, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        Self::places(number)
            .filter_map(|at| self.0.get(at)?.as_ref())
            .find(|value| is_it(value))
    }

    /// Stores a value that is not in the table, and returns the value that it replaces.
    pub(crate) fn put(&mut self, number: usize, value: T) -> Option<T> {
        self.0.resize_with(PLACES, || None);
        let free = Self::places(number).find(|at| self.0[*at].is_none());
        self.0[free.unwrap_or(number % PLACES)].replace(value)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn places(number: usize) -> impl Iterator<Item = usize> {
        (0..TRIES).map(move |next| number.wrapping_add(next) % PLACES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_number_stand_beside_each_other_until_their_places_are_taken() {
        let mut all = RecentValues::<_, 8>::new();
        let number = usize::MAX;
        for value in 0..TRIES {
            assert_eq!(all.find(number, |known| *known == value), None);
            assert_eq!(all.put(number, value), None);
        }
        assert_eq!(all.put(number, TRIES), Some(0));
        for value in 1..=TRIES {
            assert_eq!(all.find(number, |known| *known == value), Some(&value));
        }
        all.clear();
        assert_eq!(all.find(number, |_| true), None);
    }
}
