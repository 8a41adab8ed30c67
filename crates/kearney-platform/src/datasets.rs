//! Input of the warehouse: the whole files, or the extract that is built in.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const EXTRACT: [(&str, &[u8]); 3] = [
    (
        "flights-3m.parquet",
        include_bytes!("../extract/flights-3m.parquet"),
    ),
    ("airports.csv", include_bytes!("../extract/airports.csv")),
    ("zipcodes.csv", include_bytes!("../extract/zipcodes.csv")),
];

/// Source that the warehouse is loaded from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A directory with the files of vega-datasets.
    Files(PathBuf),
    /// The small extract of them that this program carries.
    Extract,
}

impl Source {
    /// The directory, if each file is in it; without a directory the extract.
    pub fn choose(dir: Option<&Path>) -> Result<Self, String> {
        let Some(dir) = dir else {
            return Ok(Self::Extract);
        };
        for (name, _) in EXTRACT {
            let path = dir.join(name);
            if !path.is_file() {
                return Err(format!(
                    "--datasets {}: {name} is not there; leave the option out to use the embedded extract",
                    dir.display()
                ));
            }
        }
        Ok(Self::Files(dir.to_owned()))
    }

    /// Fingerprint that differs from every other source, and from its own once a file was replaced.
    pub fn fingerprint(&self) -> Result<String, String> {
        let mut text = self.name().to_owned();
        for (name, bytes) in EXTRACT {
            text += &match self {
                Self::Extract => format!(" {}", bytes.len()),
                Self::Files(dir) => {
                    let path = dir.join(name);
                    describe(&path)
                        .map_err(|why| format!("cannot read {}: {why}", path.display()))?
                }
            };
        }
        Ok(text)
    }

    /// Name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "vega-datasets 3.2.1",
            Self::Extract => "embedded extract of vega-datasets 3.2.1",
        }
    }

    /// A directory that holds the files; the extract is written into `scratch` for it.
    pub fn materialize(&self, scratch: &Path) -> Result<PathBuf, String> {
        match self {
            Self::Files(dir) => Ok(dir.clone()),
            Self::Extract => {
                std::fs::create_dir_all(scratch)
                    .and_then(|()| {
                        EXTRACT
                            .iter()
                            .try_for_each(|(name, bytes)| std::fs::write(scratch.join(name), bytes))
                    })
                    .map_err(|error| format!("cannot write {}: {error}", scratch.display()))?;
                Ok(scratch.to_owned())
            }
        }
    }
}

/// Length and time of a file.
fn describe(path: &Path) -> std::io::Result<String> {
    let file = std::fs::metadata(path)?;
    let since = file.modified()?.duration_since(UNIX_EPOCH);
    Ok(format!(
        " {}@{}",
        file.len(),
        since.unwrap_or_default().as_nanos()
    ))
}
