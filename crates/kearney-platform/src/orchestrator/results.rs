//! Published results: files in `results/` of the data directory. A result counts once the registry names it. The
//! registry is written after the file, so a process that is killed in between has published nothing.

use std::path::Path;

use serde_json::{Value, json};

use super::record::{Record, now};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::registry::{Dataset, Registry};

const DIR: &str = "results";

/// Content of a result.
pub struct Content<'a> {
    pub record: &'a Record,
    /// Name of the source of the tables.
    pub source: &'a str,
    pub profile: &'a Value,
    pub rows: &'a [Value],
}

/// Writes a result atomically, registers it, and deletes the one that it replaces.
pub fn publish(
    data_dir: &Path,
    content: &Content<'_>,
    register: impl FnOnce(Dataset) -> Result<Option<Dataset>>,
) -> Result<Dataset> {
    let Content {
        record,
        source,
        profile,
        rows,
    } = *content;
    let client = record.client.as_ref().map(|client| client.as_str());
    let (job, run_id) = (record.job.name(), record.run_id);
    let (name, stem) = match client {
        Some(client) => (format!("{client}/{job}"), format!("{client}.{job}")),
        None => (job.to_owned(), job.to_owned()),
    };
    let file = format!("{DIR}/{stem}.{run_id}.json");
    let path = data_dir.join(&file);
    let result = json!({
        "run_id": run_id,
        "job": job,
        "client": client,
        "created_at": now(),
        "source": source,
        "profile": profile,
        "rows": rows,
    });
    let written = files::create_own_dir(&data_dir.join(DIR))
        .and_then(|()| Ok(serde_json::to_vec(&result)?))
        .and_then(|bytes| files::write(&path, &bytes));
    written.map_err(|error| {
        let message = format!("cannot write {}", path.display());
        Error::new(Kind::Registry, message).because(error)
    })?;
    let dataset = Dataset {
        name,
        rows: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        source: format!("run {run_id}"),
        file: Some(file),
    };
    let replaced = register(dataset.clone())?;
    if let Some(old) = replaced.and_then(|replaced| replaced.file)
        && dataset.file.as_ref() != Some(&old)
        && is_own(&old)
    {
        // leftovers are removed at the next start
        let _ = std::fs::remove_file(data_dir.join(old));
    }
    Ok(dataset)
}

/// Returns `true` if the path is a result file: an edited registry must not lead elsewhere.
fn is_own(file: &str) -> bool {
    let name = file
        .strip_prefix(DIR)
        .and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| !name.contains('/'))
}

/// Deletes results that the registry does not name, left by a process that was killed before it registered them. Only
/// the owner of the data directory may call it.
pub fn sweep(data_dir: &Path, registry: &Registry) -> Result<()> {
    let dir = data_dir.join(DIR);
    let failed = |error| {
        Error::new(Kind::Registry, format!("cannot clear {}", dir.display())).because(error)
    };
    files::create_own_dir(&dir).map_err(failed)?;
    files::sweep(&dir).map_err(failed)?;
    let datasets = registry.datasets();
    for entry in std::fs::read_dir(&dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let file = format!("{DIR}/{}", entry.file_name().to_string_lossy());
        let counts = datasets
            .iter()
            .any(|known| known.file.as_ref() == Some(&file));
        if !counts && file.ends_with(".json") {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
