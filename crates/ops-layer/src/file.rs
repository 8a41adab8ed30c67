//! The file that `OPS_CONFIG` names.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Error, glue};

const VARIABLE: &str = "OPS_CONFIG";

/// Sections of the file, each of which may be left out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) log: Option<glue::log::Settings>,
    pub(crate) trace: Option<glue::trace::Settings>,
    pub(crate) metrics: Option<glue::metrics::Settings>,
    pub(crate) secrets: Option<glue::secrets::Settings>,
    pub(crate) cache: Cache,
}

/// Places of the cache: what is configured stands in the file that it names.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cache {
    pub(crate) file: Option<PathBuf>,
    pub(crate) dir: Option<PathBuf>,
}

impl File {
    /// Reads the file; `None` if the variable is unset or empty.
    pub(crate) fn from_env() -> Result<Option<Self>, Error> {
        match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            None => Ok(None),
            Some(path) => Self::read(Path::new(&path)).map(Some),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let failed = |failure| {
            let path = path.to_owned();
            Error::new("config", FileError { path, failure })
        };
        let text =
            std::fs::read_to_string(path).map_err(|error| failed(Failure::Unreadable(error)))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_yaml::from_str(&text).map_err(|error| failed(Failure::Wrong(error)))
    }
}

/// Reasons why the file is not taken. The text of the cause has line, column and the keys that are known.
#[derive(Debug)]
struct FileError {
    path: PathBuf,
    failure: Failure,
}

#[derive(Debug)]
enum Failure {
    Unreadable(std::io::Error),
    Wrong(serde_yaml::Error),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.failure {
            Failure::Unreadable(_) => write!(f, "{VARIABLE}: cannot read {path}"),
            Failure::Wrong(_) => write!(f, "{VARIABLE}: {path}"),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.failure {
            Failure::Unreadable(error) => Some(error),
            Failure::Wrong(error) => Some(error),
        }
    }
}
