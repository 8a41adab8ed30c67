use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::record::{Record, Status};
use crate::domain_metrics;
use crate::error::{Error, Kind, Result, chain};
use crate::files;

/// Runs that are kept, those that wait or run included; beyond it the oldest that ended are forgotten.
pub const RUNS_KEPT: usize = 1000;
/// Runs on one page, unless fewer are asked for.
pub const PAGE_MAX: usize = 100;
/// Error of a run whose process died.
const ITS_PROCESS_ENDED: &str = "its process ended before the run did";

/// The runs, one file each in `runs/` of the data directory.
#[derive(Debug)]
pub struct Runs {
    dir: PathBuf,
    records: Mutex<BTreeMap<Uuid, Record>>,
}

impl Runs {
    /// Opens them for the owner of the data directory. A run that had not ended is `interrupted` from here on: whoever ran
    /// it is gone.
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
            .filter(|record| !record.status.is_over())
            .cloned()
            .collect();
        for record in cut_off {
            runs.interrupt(record, ITS_PROCESS_ENDED);
        }
        Ok(runs)
    }

    /// Ends a run that nobody goes on with.
    pub fn interrupt(&self, mut record: Record, why: &str) {
        record.end(Status::Interrupted, Some(why.to_owned()));
        // what cannot be written, on a full disk, is known to this process
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

    /// Reads them, beside a platform that may be running; and why files are left out.
    pub fn read(data_dir: &Path) -> Result<(Self, Vec<Error>)> {
        let dir = data_dir.join("runs");
        let (mut records, mut unreadable) = (BTreeMap::new(), Vec::new());
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &dir).because(error)),
        };
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            match read_one(&path) {
                Ok(Some(record)) => drop(records.insert(record.run_id, record)),
                // forgotten meanwhile
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

    /// Writes a run down, and forgets the oldest beyond [`RUNS_KEPT`].
    pub fn save(&self, record: &Record) -> Result<()> {
        let path = self.path(record.run_id);
        let written = serde_json::to_vec_pretty(record).map_err(std::io::Error::from);
        let written = written.and_then(|bytes| files::write(&path, &bytes));
        // what happened is known here in any case
        let mut records = self.lock();
        records.insert(record.run_id, record.clone());
        while records.len() > RUNS_KEPT {
            let ended = records.values().find(|record| record.status.is_over());
            let Some(oldest) = ended.map(|record| record.run_id) else {
                break;
            };
            records.remove(&oldest);
            // read again at the next start, and forgotten again
            let _ = std::fs::remove_file(self.path(oldest));
        }
        drop(records);
        written.map_err(|error| failed("write", &path).because(error))
    }

    /// Takes back a run that could not be written down.
    pub fn forget(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    pub fn get(&self, id: Uuid) -> Option<Record> {
        self.lock().get(&id).cloned()
    }

    /// At most `limit` runs, newest first, that are older than `before`; and if there are more.
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
    // a copy beside a run's file would take its place, as old as it is
    let named = path.file_stem().and_then(|stem| stem.to_str());
    if named != Some(record.run_id.to_string().as_str()) {
        let told = format!("it is of run {}, and named otherwise", record.run_id);
        return Err(failed(std::io::Error::other(told)));
    }
    Ok(Some(record))
}

fn failed(what: &str, path: &Path) -> Error {
    Error::new(Kind::Registry, format!("cannot {what} {}", path.display()))
}
