//! The registry of models and datasets: a JSON file of its own, written whole and renamed into place.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A registered model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub description: String,
}

/// A table of the warehouse, as users see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    pub name: String,
    pub rows: u64,
    pub source: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Contents {
    models: Vec<Model>,
    datasets: Vec<Dataset>,
}

/// Models and datasets, kept in `registry.json`.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    contents: Mutex<Contents>,
}

impl Registry {
    pub fn open(data_dir: &Path) -> Result<Self, String> {
        let path = data_dir.join("registry.json");
        let contents = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| format!("{}: {error}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Contents::default(),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        Ok(Self {
            path,
            contents: Mutex::new(contents),
        })
    }

    pub fn models(&self) -> Vec<Model> {
        self.lock().models.clone()
    }

    pub fn datasets(&self) -> Vec<Dataset> {
        self.lock().datasets.clone()
    }

    /// Registers a model; `false` where name and version are taken.
    pub fn add_model(&self, model: Model) -> Result<bool, String> {
        self.change(|contents| {
            let taken = |known: &Model| known.name == model.name && known.version == model.version;
            if contents.models.iter().any(taken) {
                return false;
            }
            contents.models.push(model);
            true
        })
    }

    pub fn set_datasets(&self, datasets: Vec<Dataset>) -> Result<(), String> {
        self.change(|contents| contents.datasets = datasets)
    }

    /// The change is on disk before it can be seen, or it did not happen.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> Result<T, String> {
        let mut held = self.lock();
        let mut next = held.clone();
        let result = change(&mut next);
        self.save(&next)
            .map_err(|error| format!("cannot write {}: {error}", self.path.display()))?;
        *held = next;
        Ok(result)
    }

    fn save(&self, contents: &Contents) -> std::io::Result<()> {
        let draft = self.path.with_extension("json.part");
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(contents)?)?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
