use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::record::{Record, Status};
use crate::domain_metrics;
use crate::error::{Error, Kind, Result, chain};
use crate::files;

/// Maximum number of stored runs, including queued and running ones; beyond it the oldest ended runs are deleted.
pub const RUNS_KEPT: usize = 1000;
/// Maximum number of runs on a page.
pub const PAGE_MAX: usize = 100;
/// Error of a run whose process was killed.
const ITS_PROCESS_ENDED: &str = "the process ended before the run finished";

/// Store of runs, one file each in `runs/` of the data directory.
#[derive(Debug)]
pub struct Runs {
    dir: PathBuf,
    records: Mutex<BTreeMap<Uuid, Record>>,
}

impl Runs {
    /// Opens the store for the owner of the data directory. Runs that had not ended become `interrupted`, as their
    /// process is gone.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let dir = data_dir.join("runs");
        let prepared = files::create_own_dir(&dir).and_then(|()| files::sweep(&dir));
        prepared.map_err(|error| failed("open", &dir).because(error))?;
        let (runs, unreadable) = Self::read(data_dir)?;
        for error in unreadable {
            ops_layer::log::warn!("run_unreadable", error = chain(&error));
        }
        let cut_off: Vec<Record> = runs
            .lock()
            .values()
            .filter(|record| !record.status.has_ended())
            .cloned()
            .collect();
        for record in cut_off {
            runs.interrupt(record, ITS_PROCESS_ENDED);
        }
        Ok(runs)
    }

    /// Ends a run that no process continues.
    pub fn interrupt(&self, mut record: Record, why: &str) {
        record.end(Status::Interrupted, Some(why.to_owned()));
        // even if it cannot be written, such as on a full disk, this process knows about it
        if let Err(error) = self.save(&record) {
            let run_id = record.run_id.to_string();
            ops_layer::log::warn!("run_not_recorded", run_id = run_id, error = chain(&error));
        }
        domain_metrics::orchestrator_runs_total(domain_metrics::RunStatus::Interrupted).inc();
        ops_layer::log::warn!(
            "run_interrupted",
            run_id = record.run_id.to_string(),
            phase = record.phase.unwrap_or_default(),
            job = record.job.name()
        );
    }

    /// Reads the runs, also while a platform is running. Returns the reasons why files were ignored too.
    pub fn read(data_dir: &Path) -> Result<(Self, Vec<Error>)> {
        let dir = data_dir.join("runs");
        let (mut records, mut unreadable) = (BTreeMap::new(), Vec::new());
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &dir).because(error)),
        };
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            match read_one(&path) {
                Ok(Some(record)) => drop(records.insert(record.run_id, record)),
                // deleted meanwhile
                Ok(None) => {}
                Err(error) => unreadable.push(error),
            }
        }
        let runs = Self {
            dir,
            records: Mutex::new(records),
        };
        Ok((runs, unreadable))
    }

    /// Marks unfinished runs as interrupted, in memory only; the next start of the platform writes it to their files.
    pub fn interrupt_unfinished(&self) {
        for record in self.lock().values_mut() {
            if !record.status.has_ended() {
                record.status = Status::Interrupted;
                record.error = Some(ITS_PROCESS_ENDED.to_owned());
            }
        }
    }

    /// Saves a run, and deletes the oldest ended runs beyond [`RUNS_KEPT`].
    pub fn save(&self, record: &Record) -> Result<()> {
        let path = self.path(record.run_id);
        let written = serde_json::to_vec_pretty(record).map_err(std::io::Error::from);
        let written = written.and_then(|bytes| self.write(&path, &bytes));
        // kept in memory even if it could not be written
        let mut records = self.lock();
        records.insert(record.run_id, record.clone());
        while records.len() > RUNS_KEPT {
            let ended = records.values().find(|record| record.status.has_ended());
            let Some(oldest) = ended.map(|record| record.run_id) else {
                break;
            };
            records.remove(&oldest);
            // if this fails, it is read and deleted again at the next start
            let _ = std::fs::remove_file(self.path(oldest));
        }
        drop(records);
        written.map_err(|error| failed("write", &path).because(error))
    }

    /// Writes the file of a run. If `runs/` was removed, it is created again, unless the data directory is gone too.
    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        match files::write(path, bytes) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                files::create_missing_dir(&self.dir)?;
                files::write(path, bytes)
            }
            written => written,
        }
    }

    /// Removes a run that could not be saved.
    pub fn forget(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    pub fn get(&self, id: Uuid) -> Option<Record> {
        self.lock().get(&id).cloned()
    }

    /// Returns at most `limit` runs older than `before`, newest first, and whether there are more.
    pub fn page(
        &self,
        before: Option<Uuid>,
        limit: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> (Vec<Record>, bool) {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let records = self.lock();
        let mut found = records.range((Bound::Unbounded, end)).rev();
        let mut found = found
            .by_ref()
            .map(|(_, record)| record)
            .filter(|record| wanted(record));
        let page = found.by_ref().take(limit).cloned().collect();
        (page, found.next().is_some())
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_one(path: &Path) -> Result<Option<Record>> {
    let failed = |error: std::io::Error| failed("read", path).because(error);
    let Some(bytes) = files::read(path).map_err(failed)? else {
        return Ok(None);
    };
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
    // a renamed copy would otherwise replace the run with an older state
    let named = path.file_stem().and_then(|stem| stem.to_str());
    if named != Some(record.run_id.to_string().as_str()) {
        let message = format!(
            "the file holds run {}, which does not match its name",
            record.run_id
        );
        return Err(failed(std::io::Error::other(message)));
    }
    Ok(Some(record))
}

fn failed(what: &str, path: &Path) -> Error {
    Error::new(Kind::Registry, format!("cannot {what} {}", path.display()))
}
