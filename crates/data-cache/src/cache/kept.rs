//! Memory and index, which change together: an invalidation finds in the index what it takes out of memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inner::Inner;
use crate::index::Indexed;
use crate::key::Key;
use crate::memory::{Entry, Usage};

impl Inner {
    /// Takes an entry into memory and index; returns `true` if it is in memory then. Those that go to make room, and are in
    /// no file, are forgotten.
    pub(super) fn take_in(&self, key: Key, entry: Arc<Entry>, indexed: Indexed) -> bool {
        let (now, index_bytes) = (self.now_millis(), self.index.memory_bytes());
        let (on_disk, usage) = (entry.on_disk, entry.usage.clone());
        let inserted = {
            let mut place = self.index.place(&key);
            place.insert(indexed);
            self.memory.insert(key, entry, now, index_bytes)
        };
        if !inserted.is_kept && !on_disk {
            self.unlist(&key, &usage);
        }
        for (key, gone) in inserted.evicted.iter().filter(|(_, gone)| !gone.on_disk) {
            self.unlist(key, &gone.usage);
            self.counters.evicted_size.fetch_add(1, Ordering::Relaxed);
        }
        inserted.is_kept
    }

    /// Takes an entry that left memory, and was nowhere else, out of the index, unless another one is listed by now. If an
    /// earlier result has a file, it stays: the next invalidation has to find that file.
    fn unlist(&self, key: &Key, usage: &Arc<Usage>) {
        if !self.has_file(key) {
            self.index.remove_if(key, |indexed| {
                indexed.bytes == 0 && Arc::ptr_eq(&indexed.usage, usage)
            });
        }
    }

    /// Takes an entry out of memory, and out of the index unless it has a file: the next invalidation has to find that one.
    /// With an id, only if memory has no other one. Returns `true` if it was listed.
    pub(super) fn take_out(&self, key: &Key, entry_id: Option<&str>) -> bool {
        let mut place = self.index.place(key);
        let is_other = |id| self.memory.get(key).is_some_and(|entry| entry.id != id);
        if entry_id.is_some_and(is_other) {
            return false;
        }
        self.memory.remove(key);
        let was_listed = place.get().is_some();
        // who writes a file lists it after that, and waits for this place
        if was_listed && !self.has_file(key) {
            place.remove();
        }
        was_listed
    }

    fn has_file(&self, key: &Key) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.may_hold(key))
    }
}
