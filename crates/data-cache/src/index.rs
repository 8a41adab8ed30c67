//! Contents of the cache, by name: for patterns, sizes and the order of last use.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::disk::Metadata;
use crate::key::{BuildKeyHasher, Key};
use crate::memory::Usage;
use crate::sql::Words;

/// One entry, without its data.
#[derive(Clone)]
pub(crate) struct Indexed {
    pub(crate) label: Arc<str>,
    pub(crate) tables: Arc<[String]>,
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    /// Time it took to compute; 0 if unknown.
    pub(crate) compute_ms: u64,
    /// Bytes of the blocks of its files; 0 for one that is in memory only.
    pub(crate) bytes: u64,
    pub(crate) usage: Arc<Usage>,
}

impl Indexed {
    pub(crate) fn of(metadata: &Metadata, usage: Arc<Usage>) -> Self {
        Self {
            label: metadata.label.as_str().into(),
            tables: metadata.tables.clone().into(),
            created_at: metadata.created_at,
            ttl_seconds: metadata.ttl_seconds,
            compute_ms: metadata.compute_ms,
            bytes: metadata.blocks(),
            usage,
        }
    }

    pub(crate) fn is_expired(&self, now: u64) -> bool {
        now.saturating_sub(self.created_at) >= self.ttl_seconds
    }
}

/// Names of an entry: what it depends on.
pub(crate) struct Labeled {
    pub(crate) key: Key,
    pub(crate) label: Arc<str>,
    tables: Arc<[String]>,
}

impl Labeled {
    /// Returns `true` if it depends on this table, or could, for all that its text tells. `table` is in lower case.
    pub(crate) fn depends_on(&self, table: &str) -> bool {
        let known = self.tables.iter().any(|known| known == table);
        let is_function = self.label.starts_with("fn:");
        known
            || !is_function && Words::of(&self.label).map_or(true, |words| words.could_name(table))
    }
}

#[derive(Default)]
pub(crate) struct Index {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Indexed, BuildKeyHasher>,
    bytes: u64,
}

impl Index {
    pub(crate) fn insert(&self, key: Key, entry: Indexed) {
        let mut state = self.state.lock();
        state.bytes += entry.bytes;
        if let Some(old) = state.entries.insert(key, entry) {
            state.bytes -= old.bytes;
        }
    }

    pub(crate) fn remove(&self, key: &Key) {
        let mut state = self.state.lock();
        if let Some(old) = state.entries.remove(key) {
            state.bytes -= old.bytes;
        }
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.state.lock().entries.contains_key(key)
    }

    pub(crate) fn usage(&self, key: &Key) -> Option<Arc<Usage>> {
        let state = self.state.lock();
        state.entries.get(key).map(|entry| entry.usage.clone())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    pub(crate) fn retain(&self, keep: impl Fn(&Key, &Indexed) -> bool) {
        let mut state = self.state.lock();
        let State { entries, bytes } = &mut *state;
        entries.retain(|key, entry| {
            let kept = keep(key, entry);
            *bytes -= if kept { 0 } else { entry.bytes };
            kept
        });
    }

    /// Keys, labels and tables, to be looked at without keeping others from the index.
    pub(crate) fn labels(&self) -> Vec<Labeled> {
        let state = self.state.lock();
        let entries = state.entries.iter();
        entries
            .map(|(key, entry)| Labeled {
                key: *key,
                label: entry.label.clone(),
                tables: entry.tables.clone(),
            })
            .collect()
    }

    pub(crate) fn matching(&self, matches: impl Fn(&Indexed) -> bool) -> Vec<Key> {
        let state = self.state.lock();
        let found = state.entries.iter().filter(|(_, entry)| matches(entry));
        found.map(|(key, _)| *key).collect()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Indexed> {
        self.state.lock().entries.get(key).cloned()
    }

    /// Entries that are not expired.
    pub(crate) fn live(&self, now: u64) -> u64 {
        let state = self.state.lock();
        let live = state
            .entries
            .values()
            .filter(|entry| !entry.is_expired(now));
        live.count() as u64
    }

    /// The `count` entries with most hits.
    pub(crate) fn top(&self, count: usize, now: u64) -> Vec<Indexed> {
        let state = self.state.lock();
        let mut live: Vec<_> = state
            .entries
            .values()
            .filter(|entry| !entry.is_expired(now))
            .map(|entry| (entry.usage.hits.load(Ordering::Relaxed), entry))
            .collect();
        live.sort_by(|(a, first), (b, second)| {
            b.cmp(a).then_with(|| first.label.cmp(&second.label))
        });
        live.into_iter()
            .take(count)
            .map(|(_, entry)| entry.clone())
            .collect()
    }
}
