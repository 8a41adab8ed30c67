//! Configuration files: from a directory if there is one, otherwise embedded.

use std::fmt;
use std::path::{Path, PathBuf};

use ops_layer::secrets::{self, Secrets};

use crate::error::{Error, Kind, Result};

const SECRETS: &str = include_str!("../../../configs/secrets.yaml");
const CACHE: &str = include_str!("../../../configs/cache.yaml");

/// Configuration files of the platform.
#[derive(Debug)]
pub struct Configs {
    pub secrets: File,
    pub cache: File,
}

/// Text of a configuration file; `path` is `None` for the embedded one.
#[derive(Debug)]
pub struct File {
    pub name: &'static str,
    pub text: String,
    pub path: Option<PathBuf>,
}

impl Configs {
    /// Reads the files in `dir`, which must exist, or in `./configs`. A missing file is replaced by the embedded one; a
    /// file that cannot be read is an error.
    pub fn read(dir: Option<&Path>) -> Result<Self> {
        if let Some(dir) = dir
            && !dir.is_dir()
        {
            let message = format!("--config-dir {}: no such directory", dir.display());
            return Err(Error::new(Kind::Config, message));
        }
        let dir = dir.unwrap_or(Path::new("configs"));
        Ok(Self {
            secrets: File::read(dir, "secrets.yaml", SECRETS)?,
            cache: File::read(dir, "cache.yaml", CACHE)?,
        })
    }
}

/// Opens the secrets with the catalog of this directory, as the platform does.
pub fn open_secrets(dir: Option<&Path>) -> Result<Secrets> {
    let configs = Configs::read(dir)?;
    let name = configs.secrets.to_string();
    secrets::Config::from_env()
        .map(|config| config.catalog_text(configs.secrets.text))
        .and_then(|config| Secrets::new(config.catalog_name(name)))
        .map_err(|error| Error::new(Kind::Config, "cannot set up the secrets").because(error))
}

impl File {
    fn read(dir: &Path, name: &'static str, embedded: &str) -> Result<Self> {
        let path = dir.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self {
                name,
                text,
                path: Some(path),
            }),
            // a broken link is an error: its owner does not expect the embedded file
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound
                    && path.symlink_metadata().is_err() =>
            {
                Ok(Self {
                    name,
                    text: embedded.to_owned(),
                    path: None,
                })
            }
            Err(error) => {
                let message = format!("cannot read {}", path.display());
                Err(Error::new(Kind::Config, message).because(error))
            }
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => path.display().fmt(f),
            None => write!(f, "{} (embedded)", self.name),
        }
    }
}
