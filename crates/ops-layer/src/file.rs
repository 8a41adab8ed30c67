//! Configuration file named by `OPS_CONFIG`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_yaml::Value;

use crate::config::Document;
use crate::{Config, Error, features, glue};

const VARIABLE: &str = "OPS_CONFIG";
/// Key of the file that names another one.
const CACHE_FILE: &str = "OPS_CONFIG: cache.file";

/// Sections of the file, all optional.
#[derive(Default, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a mapping with the sections log, trace, metrics, secrets, cache, black_box and history"
)]
pub(crate) struct File {
    pub(crate) log: Option<glue::log::Settings>,
    pub(crate) trace: Option<glue::trace::Settings>,
    pub(crate) metrics: Option<glue::metrics::Settings>,
    pub(crate) secrets: Option<glue::secrets::Settings>,
    pub(crate) cache: Option<Cache>,
    pub(crate) black_box: Option<glue::black_box::Settings>,
    pub(crate) history: Option<glue::history::Settings>,
    /// The section `secrets` names a catalog.
    #[serde(skip)]
    names_catalog: bool,
    /// Keys of service names, which are ignored: the name comes from the program or from `OTEL_SERVICE_NAME`.
    #[serde(skip)]
    service_names: Vec<&'static str>,
}

/// Paths of the cache. Its settings are in the file named here.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "file and dir")]
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
        let text = text_of(path, VARIABLE)?;
        // comments alone are not a document
        let is_nothing = |line: &str| line.is_empty() || line.starts_with('#') || line == "---";
        // byte order mark, which some editors write
        let without_mark = text.trim_start_matches('\u{feff}');
        if without_mark.lines().map(str::trim).all(is_nothing) {
            return Ok(Self::default());
        }
        let document: Option<Value> = serde_yaml::from_str(&text).ok();
        if document.as_ref().is_some_and(|all| !all.is_mapping()) {
            return Err(failed(path, Failure::NoMapping));
        }
        if let Some((section, feature)) = document.as_ref().and_then(features::compiled_out) {
            return Err(failed(path, Failure::LeftOut { section, feature }));
        }
        let read = serde_yaml::from_str(&text).map_err(|error| {
            let line = unnamed_line(&text, &error);
            failed(path, Failure::Wrong { error, line })
        });
        let mut file: Self = read?;
        let has = |section: &str, key: &str| {
            let found = document.as_ref().and_then(|all| all.get(section)?.get(key));
            found.is_some_and(|value| !value.is_null())
        };
        file.names_catalog = has("secrets", "catalog");
        let names = [
            ("log: service_name", "log"),
            ("trace: service_name", "trace"),
        ];
        let names = names
            .into_iter()
            .filter(|(_, section)| has(section, "service_name"));
        file.service_names = names.map(|(key, _)| key).collect();
        Ok(file)
    }
}

/// Finds the line of an error without one, such as an error about a section itself: the line of that section.
fn unnamed_line(text: &str, error: &serde_yaml::Error) -> Option<usize> {
    let message = error.to_string();
    // the message has no line if the error is at the very start of the file
    if message.contains(" at line ") {
        return None;
    }
    // other errors, such as that of a second document, concern no line
    let section = message.split('`').nth(1)?;
    let is_of = |line: &str| {
        let line = line.trim_start_matches(['\u{feff}', '"', '\'']);
        let behind = line.strip_prefix(section);
        behind.is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
    };
    // for a duplicate section, the second one
    let of_section = text.lines().zip(1..).filter(|(line, _)| is_of(line));
    Some(of_section.last().map_or(1, |(_, number)| number))
}

impl Document {
    /// Reads the file that the section `cache` names.
    fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            name: path.display().to_string(),
            text: text_of(path, CACHE_FILE)?,
        })
    }
}

/// Returns whether a path is set: white space alone is not a path.
fn is_named(place: &Path) -> bool {
    place.to_str().is_none_or(|place| !place.trim().is_empty())
}

/// Reads a file that this variable or key names.
fn text_of(path: &Path, setting: &'static str) -> Result<String, Error> {
    let failed = |failure| failed_in(setting, path, failure);
    let bytes = std::fs::read(path).map_err(|error| failed(Failure::Unreadable(error)))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        failed(Failure::NoText { line })
    })
}

fn failed(path: &Path, failure: Failure) -> Error {
    failed_in(VARIABLE, path, failure)
}

fn failed_in(setting: &'static str, path: &Path, failure: Failure) -> Error {
    let path = path.to_owned();
    let error = FileError {
        setting,
        path,
        failure,
    };
    Error::new("config", error)
}

impl Config {
    /// Fills unset settings from the environment and the file that `OPS_CONFIG` names, if it is set.
    pub(crate) fn with_file(mut self) -> Result<Self, Error> {
        let file = File::from_env()?.unwrap_or_default();
        let cache = file.cache.unwrap_or_default();
        let in_code = [
            ("log", self.log.is_some() && file.log.is_some()),
            ("trace", self.trace.is_some() && file.trace.is_some()),
            ("metrics", self.metrics.is_some() && file.metrics.is_some()),
            ("secrets", self.secrets.is_some() && file.secrets.is_some()),
            (
                "secrets: catalog",
                self.secrets.is_none() && self.secrets_yaml.is_some() && file.names_catalog,
            ),
            (
                "cache: file",
                (self.cache.is_some() || self.cache_yaml.is_some()) && cache.file.is_some(),
            ),
            (
                "cache: dir",
                self.cache_dir.is_some() && cache.dir.is_some(),
            ),
        ];
        let covered = in_code.into_iter().filter(|(_, is_covered)| *is_covered);
        self.covered = covered.map(|(section, _)| section).collect();
        self.covered.extend(&file.service_names);
        self.covered.extend(glue::black_box::covered(
            self.black_box.as_ref(),
            file.black_box.as_ref(),
        ));
        self.covered.extend(glue::history::covered(
            self.history.as_ref(),
            file.history.as_ref(),
        ));
        self.overruled = self.overruled_variables();
        self.log = self.log.or(file.log.map(glue::log::beneath_environment));
        self.trace = self
            .trace
            .or(file.trace.map(glue::trace::beneath_environment));
        self.metrics = self.metrics.or(file.metrics);
        self.black_box = glue::black_box::merged(self.black_box, file.black_box);
        self.history = glue::history::merged(self.history, file.history);
        if self.secrets.is_none() {
            let secrets = file.secrets.map(glue::secrets::beneath_environment);
            self.secrets = secrets.transpose()?;
        }
        if self.cache.is_none() && self.cache_yaml.is_none() {
            self.cache_yaml = cache.file.as_deref().map(Document::read).transpose()?;
        }
        let in_environment = std::env::var_os("OPS_CACHE_DIR").map(PathBuf::from);
        let mut places = [in_environment, cache.dir].into_iter().flatten();
        self.cache_dir = self.cache_dir.or(places.find(|dir| is_named(dir)));
        Ok(self)
    }

    /// Returns the variables without effect because the program set their
    /// settings before the file was read, each with the value in effect.
    fn overruled_variables(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &Path| path.display().to_string();
        let catalog = self.secrets_yaml.as_ref();
        let places = [
            (
                "OPS_BLACK_BOX",
                glue::black_box::place(self.black_box.as_ref()).map(shown),
            ),
            (
                "OPS_HISTORY_DIR",
                glue::history::place(self.history.as_ref()).map(shown),
            ),
            ("OPS_CACHE_DIR", self.cache_dir.as_deref().map(shown)),
            (
                "OPS_SECRETS_FILE",
                catalog.map(|catalog| catalog.name.clone()),
            ),
        ];
        let places = places.into_iter();
        let places = places.filter_map(|(variable, used)| Some((variable, used?)));
        let log = self.log.iter().flat_map(glue::log::overruled);
        let trace = self.trace.iter().flat_map(glue::trace::overruled);
        let secrets = self.secrets.iter().flat_map(glue::secrets::overruled);
        places.chain(log).chain(trace).chain(secrets).collect()
    }
}

/// Reason why the file is refused. The text of the cause has line, column and the known keys.
#[derive(Debug)]
struct FileError {
    setting: &'static str,
    path: PathBuf,
    failure: Failure,
}

#[derive(Debug)]
enum Failure {
    Unreadable(std::io::Error),
    Wrong {
        error: serde_yaml::Error,
        /// Line, if the error does not name it itself.
        line: Option<usize>,
    },
    NoMapping,
    /// The file has bytes that are not UTF-8, first in this line.
    NoText {
        line: usize,
    },
    /// This section is for a part that is compiled out.
    LeftOut {
        section: &'static str,
        feature: &'static str,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (setting, path) = (self.setting, self.path.display());
        match &self.failure {
            Failure::Unreadable(_) => write!(f, "{setting}: cannot read {path}"),
            Failure::Wrong { line: None, .. } => write!(f, "{VARIABLE}: {path}"),
            Failure::Wrong {
                line: Some(line), ..
            } => write!(f, "{VARIABLE}: {path}: line {line}"),
            Failure::LeftOut { section, feature } => {
                let missing = features::missing(feature);
                write!(f, "{VARIABLE}: {path}: {section}: {missing}")
            }
            Failure::NoText { line } => {
                write!(f, "{setting}: {path}: line {line} is not valid UTF-8")
            }
            Failure::NoMapping => write!(
                f,
                "{VARIABLE}: {path} is not a mapping with the sections log, trace, metrics, secrets, cache, black_box and history"
            ),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.failure {
            Failure::Unreadable(error) => Some(error),
            Failure::Wrong { error, .. } => Some(error),
            Failure::NoMapping | Failure::NoText { .. } | Failure::LeftOut { .. } => None,
        }
    }
}
