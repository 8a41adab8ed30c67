//! Addresses of a running platform, for programs that start it with port 0.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::files;

/// Addresses of both listeners, stored in `addresses.json` of the data directory while the platform is ready.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Addresses {
    pub api: String,
    /// `None` if the admin page is off.
    pub admin: Option<String>,
}

impl Addresses {
    pub fn of(bound: &ops_layer::Addresses) -> Self {
        let url = |address| format!("http://{address}");
        Self {
            api: url(bound.api),
            admin: bound.admin.map(url),
        }
    }

    /// Writes the file atomically.
    pub fn write(&self, data_dir: &Path) -> Result<()> {
        let path = file(data_dir);
        serde_json::to_vec(self)
            .map_err(std::io::Error::from)
            .and_then(|bytes| files::write(&path, &bytes))
            .map_err(|error| {
                Error::new(Kind::File, format!("cannot write {}", path.display())).because(error)
            })
    }

    /// Reads the file of a platform that is ready, or that was killed while it was.
    pub fn read(data_dir: &Path) -> Option<Self> {
        let text = std::fs::read(file(data_dir)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Removes the file, as the listeners are closed.
    pub fn remove(data_dir: &Path) {
        // if the removal fails, the file is stale: its readers get a refused connection
        let _ = std::fs::remove_file(file(data_dir));
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("addresses.json")
}
