//! Files that this process has open: the engine's own lock does not work within one process, and two engines on one
//! file would not notice each other's writes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::sidecar::FileId;
use crate::error::Error;

/// Maximum time to wait for a handle that was dropped, but is held by work that is about to end.
const WAIT: Duration = Duration::from_secs(5);

/// Number of readers of each file; `None` for a writer.
static OPEN: Mutex<Option<HashMap<PathBuf, Option<usize>>>> = Mutex::new(None);
static CLOSED: Condvar = Condvar::new();

/// Registration of an open file, until dropped.
pub(super) struct Opened {
    path: PathBuf,
    /// Id of the file that the engine opened; `None` until it is known.
    pub(super) file: Option<FileId>,
}

impl Opened {
    pub(super) fn take(path: &Path, is_read_only: bool) -> Result<Self, Error> {
        let deadline = Instant::now() + WAIT;
        let mut open = OPEN.lock();
        loop {
            let files = open.get_or_insert_default();
            match (files.get_mut(path), is_read_only) {
                (None, _) => {
                    files.insert(path.to_owned(), is_read_only.then_some(1));
                    break;
                }
                (Some(Some(readers)), true) => {
                    *readers += 1;
                    break;
                }
                _ => {}
            }
            if CLOSED.wait_until(&mut open, deadline).timed_out() {
                return Err(Error::input(format!(
                    "{} is already open in this process: clone that Warehouse, or drop it first",
                    path.display()
                )));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file: None,
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut open = OPEN.lock();
        if let Some(files) = open.as_mut() {
            match files.get_mut(&self.path) {
                Some(Some(readers)) if *readers > 1 => *readers -= 1,
                _ => {
                    files.remove(&self.path);
                }
            }
        }
        drop(open);
        CLOSED.notify_all();
    }
}
