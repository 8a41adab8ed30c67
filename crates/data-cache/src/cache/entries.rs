//! Memory and index, which change together: an invalidation uses the index to find entries in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inner::Inner;
use crate::index::Indexed;
use crate::key::Key;
use crate::memory::{Entry, Usage};

impl Inner {
    /// Adds an entry to memory and index; returns `true` if it is in memory
    /// then. Evicted entries without a file are removed from the index.
    pub(super) fn insert_entry(&self, key: Key, entry: Arc<Entry>, indexed: Indexed) -> bool {
        let (now, index_bytes) = (self.now_millis(), self.index.memory_bytes());
        let (on_disk, usage) = (entry.on_disk, entry.usage.clone());
        let inserted = {
            let mut slot = self.index.slot(&key);
            slot.insert(indexed);
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

    /// Removes from the index an entry that left memory and was nowhere else, unless another one is listed by now. If
    /// an earlier result has a file, it stays listed: the next invalidation must find that file.
    fn unlist(&self, key: &Key, usage: &Arc<Usage>) {
        self.index.remove_if(key, |indexed| {
            indexed.bytes == 0 && Arc::ptr_eq(&indexed.usage, usage) && !self.has_file(key)
        });
    }

    /// Removes from the index the entries that left memory and are nowhere else.
    pub(super) fn unlist_all(&self) {
        self.index.retain(|key, indexed| {
            indexed.bytes > 0 || self.memory.get(key).is_some() || self.has_file(key)
        });
    }

    /// Removes an entry from memory, and from the index unless it has a file, which the next invalidation must find.
    /// With an id, only if memory holds no other entry. Returns `true` if it was listed.
    pub(super) fn remove_entry(&self, key: &Key, entry_id: Option<&str>) -> bool {
        let mut slot = self.index.slot(key);
        let is_other = |id| self.memory.get(key).is_some_and(|entry| entry.id != id);
        if entry_id.is_some_and(is_other) {
            return false;
        }
        self.memory.remove(key);
        let was_listed = slot.get().is_some();
        // a writer lists the entry after writing its file, and waits for this slot
        if was_listed && !self.has_file(key) {
            slot.remove();
        }
        was_listed
    }

    fn has_file(&self, key: &Key) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.may_hold(key))
    }
}
