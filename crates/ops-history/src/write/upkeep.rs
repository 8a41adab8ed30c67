//! Thread that merges files and removes old ones.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::Shared;
use super::record::micros;
use crate::error::{Error, chain};
use crate::file::directory::{Found, distinct, list, remove};
use crate::file::merge::{Failure, MAX_ROWS, MAX_SOURCES, merge};
use crate::file::name::HOUR_US;
use crate::file::stored::Stored;
use crate::step::Step;

/// Minimum number of small files of the current hour before they are merged.
const MIN_SOURCES: usize = 16;
/// Maximum number of files of all tables together; beyond it the oldest are removed.
const MAX_FILES: usize = 20_000;
/// Time for which the wall clock has to agree with the monotonic one before files are removed by age.
const STEADY_TIME: Duration = Duration::from_secs(600);
/// Difference between both clocks that counts as a step.
const STEP: Duration = Duration::from_secs(60);
/// Maximum number of unreadable files whose reasons are kept.
const MAX_REASONS: usize = 20;

/// Signals to wake and stop the thread.
#[derive(Default)]
pub(super) struct Upkeep {
    is_due: Mutex<bool>,
    wake: Condvar,
    pub(super) stop: AtomicBool,
}

impl Upkeep {
    pub(super) fn wake(&self) {
        *self.is_due.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_one();
    }

    fn wait(&self) {
        let due = self.is_due.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |due: &mut bool| !*due && !self.stop.load(Relaxed);
        // old files expire even without new ones
        let minute = Duration::from_secs(60);
        let waited = self.wake.wait_timeout_while(due, minute, idle);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

pub(super) struct Tidier {
    shared: Arc<Shared>,
    /// Number of rows of each file whose footer was read; `None` for an unreadable one.
    rows: BTreeMap<PathBuf, Option<u64>>,
    /// Readings of both clocks since which they agree.
    steady_since: (SystemTime, Duration),
}

impl Tidier {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            steady_since: shared.config.clock.read(),
            rows: BTreeMap::new(),
            shared,
        }
    }

    pub(super) fn run(mut self) {
        while !self.shared.upkeep.stop.load(Relaxed) {
            let untidy = self.tidy().err().map(|error| chain(&error));
            self.shared.stats.update(|stats| {
                stats.untidy = untidy;
                stats.looks += 1;
            });
            self.shared.upkeep.wait();
        }
    }

    fn tidy(&mut self) -> Result<(), Error> {
        if !self.shared.has_directory() {
            // the directory was removed, and another process may have locked it: the next write recreates it or fails
            self.rows.clear();
            return Ok(());
        }
        let files = list(&self.shared.config.dir)?;
        self.read_new_footers(&files);
        // a name alone is not proof: a file that covers others has to be fully verified before they are removed
        let is_readable = |one: &Found| self.rows.get(&one.path).copied().flatten().is_some();
        let (readable, unreadable): (Vec<_>, Vec<_>) = files.into_iter().partition(is_readable);
        let (mut files, covered) = distinct(readable, |one| one.name);
        for one in covered {
            if self.is_in_another(&one, &files) {
                self.remove(&one)?;
            }
        }
        files.extend(unreadable);
        let files = self.prune(files)?;
        self.merge(&files)
    }

    /// Returns `true` if a file that covers this one is intact.
    fn is_in_another(&mut self, one: &Found, files: &[Found]) -> bool {
        let Some(other) = files.iter().find(|other| other.name.covers(&one.name)) else {
            return false;
        };
        if self.rows.get(&other.path).copied().flatten().is_none() {
            return false;
        }
        let verified = Stored::open(other).and_then(|stored| stored.verify(&other.path));
        if let Err(error) = &verified {
            self.report(error);
            self.rows.insert(other.path.clone(), None);
        }
        verified.is_ok()
    }

    fn remove(&mut self, one: &Found) -> Result<(), Error> {
        remove(&one.path)?;
        self.rows.remove(&one.path);
        Ok(())
    }

    /// Removes files that are too old, then the oldest beyond the limits; returns the remaining ones.
    fn prune(&mut self, mut files: Vec<Found>) -> Result<Vec<Found>, Error> {
        let config = &self.shared.config;
        let (wall, monotonic) = config.clock.read();
        let (wall_then, then) = self.steady_since;
        let elapsed = monotonic.saturating_sub(then);
        let should_be = wall_then.checked_add(elapsed).unwrap_or(wall);
        let offset = match wall.duration_since(should_be) {
            Ok(ahead) => ahead,
            Err(behind) => behind.duration(),
        };
        if offset > STEP {
            self.steady_since = (wall, monotonic);
        }
        // no removal by age until both clocks have agreed for `STEADY_TIME`, also after the start
        let is_steady = offset <= STEP && elapsed >= STEADY_TIME;
        let oldest = micros(wall.checked_sub(config.max_age).unwrap_or(wall));
        let max_bytes = config.max_bytes;
        // by run and write, an order that does not depend on clocks
        files.sort_by_key(|one| (one.name.run, one.name.last, one.name.table));
        let mut bytes: u64 = files.iter().map(|one| one.bytes).sum();
        let mut count = files.len();
        let mut left = Vec::with_capacity(files.len());
        for one in files {
            let end = (one.name.hour + 1).saturating_mul(HOUR_US);
            let is_old = is_steady && end <= oldest;
            if is_old || bytes > max_bytes || count > MAX_FILES {
                bytes -= one.bytes;
                count -= 1;
                self.remove(&one)?;
            } else {
                left.push(one);
            }
        }
        Ok(left)
    }

    /// Reads the footers of new files.
    fn read_new_footers(&mut self, files: &[Found]) {
        let there: HashSet<&PathBuf> = files.iter().map(|one| &one.path).collect();
        self.rows.retain(|path, _| there.contains(path));
        for one in files {
            if !self.rows.contains_key(&one.path) {
                let rows = match Stored::open(one) {
                    Ok(stored) => Some(stored.rows),
                    Err(error) => {
                        self.report(&error);
                        None
                    }
                };
                self.rows.insert(one.path.clone(), rows);
            }
        }
    }

    fn report(&self, error: &Error) {
        // removed meanwhile
        if !error.path().exists() {
            return;
        }
        let text = chain(error);
        self.shared.stats.update(|stats| {
            if stats.unreadable.len() < MAX_REASONS {
                stats.unreadable.push(text);
            }
        });
    }

    /// Merges the small files of each hour: past hours into as few files as possible, the current hour (the newest, or
    /// the one that lasts by the clock) once there are many.
    fn merge(&mut self, files: &[Found]) -> Result<(), Error> {
        let mut files: Vec<_> = files.to_vec();
        files.sort_by_key(|one| (one.name.group(), one.name.first));
        // the newest hour of each run and table is current; all hours of earlier runs are past
        let run = self.shared.stats.run();
        let now = micros(self.shared.config.clock.read().0);
        for group in files.chunk_by(|a, b| a.name.group() == b.name.group()) {
            let Some(name) = group.first().map(|one| one.name) else {
                continue;
            };
            let later = files.iter().filter(|one| {
                let other = one.name;
                (other.table, other.run, other.instance) == (name.table, name.run, name.instance)
            });
            // a clock that was set back writes again to an hour that is not the newest
            let is_past = (name.hour + 1).saturating_mul(HOUR_US) <= now
                && later.map(|one| one.name.hour).max() > Some(name.hour);
            let is_over = name.run != run || is_past;
            self.merge_group(group, is_over)?;
        }
        Ok(())
    }

    fn merge_group(&mut self, group: &[Found], is_over: bool) -> Result<(), Error> {
        let least = if is_over { 2 } else { MIN_SOURCES };
        let mut sources: Vec<Found> = Vec::new();
        let mut rows = 0;
        for one in group {
            let size = self.rows.get(&one.path).copied().flatten();
            let size = size.filter(|size| *size <= MAX_ROWS / 2);
            let fits =
                size.is_some_and(|size| rows + size <= MAX_ROWS && sources.len() < MAX_SOURCES);
            if !fits {
                self.merge_sources(&sources, least)?;
                sources.clear();
                rows = 0;
            }
            if let Some(size) = size {
                sources.push(one.clone());
                rows += size;
            }
        }
        self.merge_sources(&sources, least)
    }

    fn merge_sources(&mut self, sources: &[Found], least: usize) -> Result<(), Error> {
        if sources.len() < least || self.shared.upkeep.stop.load(Relaxed) {
            return Ok(());
        }
        let config = &self.shared.config;
        match merge(
            &config.dir,
            sources,
            &config.steps,
            &self.shared.upkeep.stop,
        ) {
            Ok(path) => {
                self.shared.stats.update(|stats| stats.merges += 1);
                let step = |step| {
                    let at = self.shared.config.steps.at(step);
                    at.map_err(|error| Error::io(&path, "merge files", error))
                };
                step(Step::Merged)?;
                for source in sources {
                    remove(&source.path)?;
                    step(Step::SourceRemoved)?;
                }
                Ok(())
            }
            Err(Failure::Source(path, error)) => {
                // the file is kept, and not tried again
                self.report(&error);
                self.rows.insert(path, None);
                Ok(())
            }
            Err(Failure::Target(error)) => Err(error),
            Err(Failure::Stopped) => Ok(()),
        }
    }
}
