//! Registry of models and datasets: a JSON file, written atomically.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::files;

/// A registered model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub description: String,
}

/// A table of the warehouse, or a published result, as shown to users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    pub name: String,
    pub rows: u64,
    pub source: String,
    /// File of a published result, in the data directory; `None` for a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Contents of the file. Unknown keys are refused, because the next change would lose them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    models: Vec<Model>,
    datasets: Vec<Dataset>,
}

/// Models and datasets, stored in `registry.json`.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    contents: Mutex<Contents>,
}

impl Registry {
    pub fn open(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("registry.json");
        let failed = || Error::new(Kind::Registry, format!("cannot read {}", path.display()));
        let read = files::read(&path).map_err(|error| failed().because(error))?;
        let contents = match read {
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| failed().because(error))?
            }
            None => Contents::default(),
        };
        Ok(Self {
            path,
            contents: Mutex::new(contents),
        })
    }

    pub fn models(&self) -> Vec<Model> {
        self.lock().models.clone()
    }

    /// Returns the tables, followed by the published results.
    pub fn datasets(&self) -> Vec<Dataset> {
        self.lock().datasets.clone()
    }

    /// Registers a model; returns `false` if name and version are taken.
    pub fn add_model(&self, model: Model) -> Result<bool> {
        self.change(|contents| {
            let taken = |known: &Model| known.name == model.name && known.version == model.version;
            if contents.models.iter().any(taken) {
                return false;
            }
            contents.models.push(model);
            true
        })
    }

    /// Replaces the tables; published results are kept.
    pub fn set_tables(&self, mut tables: Vec<Dataset>) -> Result<()> {
        self.change(|contents| {
            let kept = std::mem::take(&mut contents.datasets).into_iter();
            tables.extend(kept.filter(|dataset| dataset.file.is_some()));
            contents.datasets = tables;
        })
    }

    /// Registers a published result; returns the one with the same name that it replaces.
    pub fn publish(&self, result: Dataset) -> Result<Option<Dataset>> {
        self.change(|contents| {
            let same = |known: &&mut Dataset| known.file.is_some() && known.name == result.name;
            match contents.datasets.iter_mut().find(same) {
                Some(known) => Some(std::mem::replace(known, result)),
                None => {
                    contents.datasets.push(result);
                    None
                }
            }
        })
    }

    /// Applies a change once it is on disk; if that fails, nothing changes. A no-op is not written, so that a start
    /// succeeds on a full disk.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> Result<T> {
        let mut held = self.lock();
        let mut next = held.clone();
        let result = change(&mut next);
        if next == *held {
            return Ok(result);
        }
        let saved = serde_json::to_vec_pretty(&next).map_err(std::io::Error::from);
        let saved = saved.and_then(|bytes| files::write(&self.path, &bytes));
        saved.map_err(|error| {
            let message = format!("cannot write {}", self.path.display());
            Error::new(Kind::Registry, message).because(error)
        })?;
        *held = next;
        Ok(result)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
