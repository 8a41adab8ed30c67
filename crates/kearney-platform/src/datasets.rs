//! Input of the warehouse: the complete files, or the embedded extract.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::args::Work;
use crate::error::{Error, Kind, Result};
use crate::files;

const EXTRACT: [(&str, &[u8]); 3] = [
    (
        "flights-3m.parquet",
        include_bytes!("../extract/flights-3m.parquet"),
    ),
    ("airports.csv", include_bytes!("../extract/airports.csv")),
    ("zipcodes.csv", include_bytes!("../extract/zipcodes.csv")),
];

/// Source from which the warehouse is loaded.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A directory with the files of vega-datasets.
    Files(PathBuf),
    /// Small embedded extract of these files.
    Extract,
    /// A read-only warehouse in a file; nothing is loaded.
    Snapshot(PathBuf),
}

impl Source {
    /// Returns the snapshot if set, else the directory if set, else the extract. Fails if a file is missing.
    pub fn choose(work: &Work) -> Result<Self> {
        if let Some(file) = &work.snapshot {
            return match file.is_file() {
                true => Ok(Self::Snapshot(file.clone())),
                false => {
                    let message = format!("--snapshot {}: no such file", file.display());
                    Err(Error::new(Kind::Config, message))
                }
            };
        }
        let Some(dir) = &work.datasets else {
            return Ok(Self::Extract);
        };
        for (name, _) in EXTRACT {
            if !dir.join(name).is_file() {
                let dir = dir.display();
                return Err(Error::new(
                    Kind::Config,
                    format!(
                        "--datasets {dir}: {name} is missing; omit the option to use the embedded extract"
                    ),
                ));
            }
        }
        Ok(Self::Files(dir.clone()))
    }

    /// Returns the fingerprint of one file. It differs between sources, and changes if the file is replaced.
    pub fn fingerprint(&self, file: &str) -> Result<String> {
        let own = match self {
            Self::Extract => {
                let embedded = EXTRACT.iter().find(|(name, _)| *name == file);
                let mut hasher = DefaultHasher::new();
                embedded.map(|(_, bytes)| bytes).hash(&mut hasher);
                format!("{:016x}", hasher.finish())
            }
            Self::Files(dir) => {
                let path = dir.join(file);
                describe(&path).map_err(|error| {
                    let message = format!("cannot read {}", path.display());
                    Error::new(Kind::File, message).because(error)
                })?
            }
            Self::Snapshot(file) => return Err(not_loaded(file)),
        };
        Ok(format!("{} {own}", self.name()))
    }

    /// Returns the name of the source for display.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "vega-datasets 3.2.1",
            Self::Extract => "embedded extract of vega-datasets 3.2.1",
            Self::Snapshot(_) => "read-only snapshot",
        }
    }

    /// Returns a directory with the files; the extract is written to `scratch` first.
    pub fn materialize(&self, scratch: &Path) -> Result<PathBuf> {
        match self {
            Self::Files(dir) => Ok(dir.clone()),
            Self::Snapshot(file) => Err(not_loaded(file)),
            Self::Extract => {
                let written = files::create_own_dir(scratch).and_then(|()| {
                    files::sweep(scratch)?;
                    let mut all = EXTRACT.iter();
                    all.try_for_each(|(name, bytes)| files::write(&scratch.join(name), bytes))
                });
                written.map_err(|error| {
                    let message = format!("cannot write {}", scratch.display());
                    Error::new(Kind::File, message).because(error)
                })?;
                Ok(scratch.to_owned())
            }
        }
    }
}

fn not_loaded(snapshot: &Path) -> Error {
    let message = format!(
        "cannot load tables from the read-only snapshot {}",
        snapshot.display()
    );
    Error::new(Kind::Warehouse, message)
}

/// Returns a text that identifies a file and changes if it is replaced or written; length and time alone could be those
/// of a copy.
fn describe(path: &Path) -> std::io::Result<String> {
    let (path, file) = (path.canonicalize()?, std::fs::metadata(path)?);
    let since = file.modified()?.duration_since(UNIX_EPOCH);
    Ok(format!(
        "{}@{} {}:{} {}.{:09} {}",
        file.len(),
        since.unwrap_or_default().as_nanos(),
        file.dev(),
        file.ino(),
        file.ctime(),
        file.ctime_nsec(),
        path.display()
    ))
}
