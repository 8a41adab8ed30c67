//! State of the data: one id for everything, and one for each table that was written since.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::writes::Scope;
use crate::disk::unique_id;

pub(super) struct Versions {
    state: Mutex<Ids>,
    /// Running writes.
    writing: Mutex<Vec<(u64, Scope)>>,
    is_written: AtomicBool,
}

/// Ids of the data. A table that is not listed has the id of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) everything: String,
    pub(super) tables: BTreeMap<String, String>,
}

/// Guard of a write: until dropped, nothing in its scope is stored or looked up.
pub(super) struct Writing<'a> {
    versions: &'a Versions,
    seat: u64,
}

impl Versions {
    pub(super) fn fresh() -> Self {
        Self::with(Ids {
            everything: unique_id(),
            tables: BTreeMap::new(),
        })
    }

    pub(super) fn with(ids: Ids) -> Self {
        Self {
            state: Mutex::new(ids),
            writing: Mutex::default(),
            is_written: AtomicBool::new(false),
        }
    }

    pub(super) fn ids(&self) -> Ids {
        self.state.lock().clone()
    }

    pub(super) fn were_written(&self) -> bool {
        self.is_written.load(Ordering::Acquire)
    }

    /// Returns the text that identifies the state of these tables, or of all; `None` while one of them is written.
    pub(super) fn token(&self, tables: Option<&[String]>) -> Option<String> {
        let writing = self.writing.lock();
        let touched = |(_, scope): &(u64, Scope)| match (scope, tables) {
            (Scope::Tables(written), Some(tables)) => tables.iter().any(|t| written.contains(t)),
            (Scope::Tables(written), None) => !written.is_empty(),
            (Scope::Everything, _) => true,
        };
        if writing.iter().any(touched) {
            return None;
        }
        let ids = self.state.lock();
        let mut token = ids.everything.clone();
        for (table, id) in &ids.tables {
            if tables.is_none_or(|tables| tables.contains(table)) {
                token.push_str(&format!(" {table:?}={id}"));
            }
        }
        Some(token)
    }

    /// Begins a write: earlier results become unreachable, and nothing is stored until it ends.
    pub(super) fn begin(&self, scope: Scope) -> Writing<'_> {
        self.is_written.store(true, Ordering::Release);
        let writing = self.hold_scope(scope.clone());
        let mut ids = self.state.lock();
        match scope {
            Scope::Everything => {
                ids.everything = unique_id();
                ids.tables.clear();
            }
            Scope::Tables(tables) => {
                let named = tables.into_iter().map(|table| (table, unique_id()));
                ids.tables.extend(named);
            }
        }
        drop(ids);
        writing
    }

    /// Prevents storing and lookups until the guard is dropped; the data does not change.
    pub(super) fn hold(&self) -> Writing<'_> {
        self.hold_scope(Scope::Everything)
    }

    fn hold_scope(&self, scope: Scope) -> Writing<'_> {
        let mut writing = self.writing.lock();
        let seat = writing.iter().map(|(seat, _)| seat + 1).max().unwrap_or(0);
        writing.push((seat, scope));
        Writing {
            versions: self,
            seat,
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut writing = self.versions.writing.lock();
        writing.retain(|(seat, _)| *seat != self.seat);
    }
}
