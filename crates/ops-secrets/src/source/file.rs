//! Secrets in files: `NAME_FILE`, a mounted folder, systemd's credentials.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::caught::caught;
use crate::error::ErrorKind;
use crate::source::env::Environment;
use crate::source::trusted_file::{self, Refused, Stamp};
use crate::source::{FetchError, FetchResult, Source, SourceFuture, SourceValue};

/// Maximum size of a secret file; a larger one is refused.
pub const MAX_SECRET_FILE_BYTES: u64 = 1024 * 1024;
/// Folder in which Docker and Podman mount secrets.
pub(crate) const USUAL_FOLDER: &str = "/run/secrets";

/// Folder with one file per secret.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Option<PathBuf>")]
pub(crate) enum Mounted {
    /// `/run/secrets`, if it is there.
    #[default]
    Usual,
    /// This folder, which is expected to exist.
    Named(PathBuf),
    Nowhere,
}

impl From<Option<PathBuf>> for Mounted {
    fn from(named: Option<PathBuf>) -> Self {
        named.map_or(Self::Nowhere, Self::Named)
    }
}

/// Files that may hold secrets.
pub(crate) struct SecretFiles {
    environment: Environment,
    /// Directory that relative paths in variables refer to: the working directory when the resolver was created.
    start: PathBuf,
    folders: Vec<PathBuf>,
    /// Folders that were explicitly configured.
    configured: Vec<PathBuf>,
    /// Folder of systemd's credentials.
    credentials: Option<PathBuf>,
    loaded: Mutex<HashMap<PathBuf, (Stamp, Loaded)>>,
}

/// Possible places of one secret's file.
#[derive(Clone, Debug)]
pub(crate) struct FileNames {
    /// Variable that holds a path.
    variable: String,
    paths: Vec<PathBuf>,
}

/// Text of a file, or the reason why it is refused.
type Loaded = Result<Arc<Zeroizing<String>>, Refusal>;

/// Reason why an existing file cannot be used.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) outcome: String,
}

impl SecretFiles {
    pub(crate) fn new(environment: Environment, folder: Mounted) -> Self {
        let anchored = |folder: PathBuf| trusted_file::anchored(&folder);
        let credentials = environment.path("CREDENTIALS_DIRECTORY").map(anchored);
        let (usual, configured) = match folder {
            Mounted::Usual => (Some(USUAL_FOLDER.into()), None),
            Mounted::Named(folder) => (None, Some(anchored(folder))),
            Mounted::Nowhere => (None, None),
        };
        let configured: Vec<_> = configured.into_iter().chain(credentials.clone()).collect();
        Self {
            folders: usual.into_iter().chain(configured.clone()).collect(),
            configured,
            credentials,
            start: std::env::current_dir().unwrap_or_default(),
            environment,
            loaded: Mutex::default(),
        }
    }

    /// Logs a warning for configured folders that are missing or cannot be
    /// read: the path may be mistyped. They are looked for at each call.
    pub(crate) fn warn_of_missing_folders(&self) {
        for folder in &self.configured {
            let problem = match fs::metadata(folder) {
                Ok(found) if found.is_dir() => continue,
                Ok(_) => "not a folder".to_owned(),
                Err(error) => error.to_string(),
            };
            let folder = folder.display();
            caught(
                || tracing::warn!(target: "ops_secrets", %folder, problem, "secrets_folder_missing"),
            );
        }
    }

    /// Returns the possible places of the file of a secret with this name and variable.
    pub(crate) fn names(&self, name: &str, variable: &str) -> FileNames {
        let mut names: Vec<&str> = vec![name, variable];
        names.dedup();
        // `.`, `..` and the entries that Kubernetes keeps beside its files are not secrets
        names.retain(|name| !name.starts_with('.'));
        let paths = self.folders.iter();
        let paths = paths.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
        FileNames {
            variable: format!("{variable}_FILE"),
            paths: paths.collect(),
        }
    }

    /// Returns the secret's text: from the file that its variable names, otherwise from the first
    /// non-empty file in a folder. A file that did not change since the last call is not read again.
    pub(crate) fn get(&self, names: &FileNames) -> Result<Option<Arc<Zeroizing<String>>>, Refusal> {
        if let Some(path) = self.path_in_variable(names) {
            let found = self.load(&path)?;
            let refused = |why| Refusal {
                kind: ErrorKind::Config,
                outcome: format!("{}: {}: {why}", names.variable, path.display()),
            };
            // this file was explicitly named: no other place and no default is meant
            return match found {
                Some(text) if text.is_empty() => Err(refused("the file is empty")),
                Some(text) => Ok(Some(text)),
                None => Err(refused("no such file")),
            };
        }
        for path in &names.paths {
            let text = self.load(path)?;
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Returns the path in the secret's variable.
    fn path_in_variable(&self, names: &FileNames) -> Option<PathBuf> {
        let path = self.environment.path(&names.variable)?;
        Some(self.start.join(path))
    }

    /// Returns the attempts as text, for errors; `None` if no folder is mounted.
    pub(crate) fn tried(&self, names: &FileNames) -> Option<String> {
        let mounted = self.folders.iter().find(|folder| folder.is_dir())?;
        let is_empty =
            |path: &&PathBuf| matches!(self.load(path), Ok(Some(text)) if text.is_empty());
        if let Some(path) = names.paths.iter().find(is_empty) {
            let path = path.display();
            return Some(format!("{path}: the file is empty, which counts as absent"));
        }
        let name = names.paths.first()?.file_name()?.to_string_lossy();
        Some(format!("{}: no file {name}", mounted.display()))
    }

    /// Returns the permission change that the file of a secret needs.
    pub(crate) fn permission_problem(&self, names: &FileNames) -> Option<String> {
        let named = self.path_in_variable(names);
        let mut paths = named.iter().chain(&names.paths);
        let (path, stamp) = paths.find_map(|path| Some((path, Stamp::at(path).ok()?)))?;
        let problem = self.readable_by_others(path, &stamp)?;
        Some(format!("{}: {problem}", path.display()))
    }

    /// Returns the permission change that a file needs. In systemd's folder, which only the service's user can
    /// enter, group bits are ignored: they are the mask of the access control list that lets this user read.
    fn readable_by_others(&self, path: &Path, stamp: &Stamp) -> Option<&'static str> {
        let is_of_systemd = self.credentials.as_ref();
        let is_of_systemd = is_of_systemd.is_some_and(|folder| path.starts_with(folder));
        stamp
            .readable_by_others()
            .filter(|_| !is_of_systemd || stamp.readable_by_all())
    }

    fn load(&self, path: &Path) -> Result<Option<Arc<Zeroizing<String>>>, Refusal> {
        let refusal = |kind, outcome: &str| Refusal {
            kind,
            outcome: format!("{}: {outcome}", path.display()),
        };
        let refused = |outcome: &str| refusal(ErrorKind::Config, outcome);
        // not cached: the next call reads the file again
        let failed = |outcome: &str| Err(refusal(ErrorKind::Transient, outcome));
        let missing = || {
            self.loaded.lock().remove(path);
            Ok(None)
        };
        let stamp = match Stamp::at(path) {
            Ok(stamp) => stamp,
            Err(Refused::NotFound) => return missing(),
            Err(Refused::Problem(problem)) => return Err(refused(&problem)),
            Err(Refused::Failed(why)) => return failed(&why),
        };
        if let Some((seen, loaded)) = self.loaded.lock().get(path)
            && *seen == stamp
        {
            return loaded.clone().map(Some);
        }
        let (stamp, loaded) = match trusted_file::read(path, MAX_SECRET_FILE_BYTES) {
            Ok(file) => (file.stamp, text(path, &file.bytes).map(Arc::new)),
            Err(Refused::NotFound) => return missing(),
            Err(Refused::Problem(problem)) => (stamp, Err(refused(&problem))),
            Err(Refused::Failed(why)) => return failed(&why),
        };
        report(path, &loaded, self.readable_by_others(path, &stamp));
        let mut all = self.loaded.lock();
        all.insert(path.to_owned(), (stamp, loaded.clone()));
        loaded.map(Some)
    }
}

/// Returns the text without the line breaks at its end, which editors and `echo` write and
/// official images remove, and without the byte order mark that Windows programs write.
fn text(path: &Path, bytes: &[u8]) -> Result<Zeroizing<String>, Refusal> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            Ok(Zeroizing::new(
                text.trim_end_matches(['\n', '\r']).to_owned(),
            ))
        }
        Err(_) => Err(Refusal {
            kind: ErrorKind::Malformed,
            outcome: format!("{}: not UTF-8", path.display()),
        }),
    }
}

fn report(path: &Path, loaded: &Loaded, readable: Option<&'static str>) {
    let file = path.display();
    if let Err(Refusal { outcome, .. }) = loaded {
        caught(
            || tracing::warn!(target: "ops_secrets", problem = outcome.as_str(), "secret_file_refused"),
        );
    } else if let Some(problem) = readable {
        caught(|| tracing::warn!(target: "ops_secrets", %file, problem, "secret_file_permissions"));
    }
}

/// Folder with one file per secret, as a [`Source`]. Queried in the order in which it was added.
pub struct FolderSource(SecretFiles);

impl FolderSource {
    /// Reads `<folder>/<path>`, where the path is the secret's `path` in the catalog, or its name. A
    /// leading `/` does not lead out of the folder, a path that starts with the folder's own path is
    /// one within it, and a path with `..` is an error. If the folder is missing, a warning is logged.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let nothing = Environment::Given(Arc::default());
        let files = SecretFiles::new(nothing, Mounted::Named(folder.into()));
        files.warn_of_missing_folders();
        Self(files)
    }

    fn look_up(&self, name: &str) -> FetchResult {
        let mut folders = self.0.folders.iter();
        let within = folders.find_map(|folder| Path::new(name).strip_prefix(folder).ok()?.to_str());
        let name = within.unwrap_or(name).trim_start_matches('/');
        if name.split('/').any(|part| part == "..") {
            let outcome = "expected a path within the folder";
            return Err(FetchError::failed(ErrorKind::Config, outcome));
        }
        match self.0.get(&self.0.names(name, name)) {
            Ok(Some(text)) => Ok(SourceValue::new(text.as_str())),
            Ok(None) => Err(FetchError::Absent),
            Err(Refusal { kind, outcome }) => Err(FetchError::failed(kind, outcome)),
        }
    }
}

impl Source for FolderSource {
    fn name(&self) -> &'static str {
        "folder"
    }

    fn fetch<'a>(&'a self, names: &'a [String], _: Instant) -> SourceFuture<'a> {
        Box::pin(async move { names.iter().map(|name| self.look_up(name)).collect() })
    }
}
