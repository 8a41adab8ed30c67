use std::sync::OnceLock;

/// Number of neighboring places in a level that one entry may take.
const WINDOW: usize = 4;
/// Number of places in each level, 16 bytes each; a level is
/// allocated when an entry finds no free place in the previous one.
const LEVELS: [usize; 5] = [64, 512, 4096, 16_384, 131_072];

type Level<T> = Box<[OnceLock<&'static T>]>;

/// Finds entries by their hash, without a lock and without writing to memory that other threads read.
///
/// Entries are only added. An entry takes the first free place of its window, level by level, so a free place ends a
/// search. The table is a shortcut beside a complete index: if all windows are full, an entry is not added.
#[derive(Debug)]
pub(crate) struct Table<T: 'static> {
    levels: [OnceLock<Level<T>>; LEVELS.len()],
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            levels: [const { OnceLock::new() }; LEVELS.len()],
        }
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&'static T> {
        for level in &self.levels {
            let places = level.get()?;
            for place in window(places.len(), hash) {
                let entry = *places.get(place)?.get()?;
                if same(entry) {
                    return Some(entry);
                }
            }
        }
        None
    }

    pub(crate) fn insert(&self, hash: u64, entry: &'static T) -> bool {
        self.levels.iter().zip(LEVELS).any(|(level, size)| {
            let places = level.get_or_init(|| (0..size).map(|_| OnceLock::new()).collect());
            window(places.len(), hash)
                .filter_map(|place| places.get(place))
                .any(|place| place.set(entry).is_ok())
        })
    }
}

/// Returns the window of a hash, from its upper half, which is well mixed.
#[inline]
fn window(len: usize, hash: u64) -> impl Iterator<Item = usize> {
    let first = (hash >> 32) as usize;
    (0..WINDOW).map(move |step| first.wrapping_add(step) & (len - 1))
}
