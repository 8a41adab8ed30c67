//! Outputs: the places that lines are written to.

pub(crate) mod closing;
mod direct;
mod hangup;
pub(crate) mod health;
mod log_file;
pub(crate) mod notice;
pub(crate) mod outputs;
pub(crate) mod rotation;
pub(crate) mod sink;
pub(crate) mod slog_output;
pub(crate) mod stream;
mod writer;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::output::rotation::{Rotation, behind_links};
use crate::output::sink::Target;
use crate::{Filter, JsonForm, Level};

/// Place that lines are written to, and their form: console lines unless set otherwise.
#[derive(Clone, Debug)]
pub struct Output {
    pub(crate) place: Place,
    pub(crate) json: bool,
    /// `None` for the form of the configuration.
    pub(crate) form: Option<JsonForm>,
    pub(crate) color: Option<bool>,
    pub(crate) context: bool,
    pub(crate) blocking: bool,
    /// `None` for the rotation of the configuration.
    pub(crate) rotation: Option<Rotation>,
    /// `None` for the filter of the configuration.
    pub(crate) filter: Option<Filter>,
}

/// Place of an [`Output`].
#[derive(Clone)]
pub(crate) enum Place {
    Stdout,
    Stderr,
    File(PathBuf),
    Given(Arc<RwLock<Target>>),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("Stdout"),
            Self::Stderr => f.write_str("Stderr"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Given(_) => f.write_str("Given"),
        }
    }
}

/// Returns the real path of a file that may not exist: links to the file and to its directories are resolved.
fn real_path(path: &Path) -> Option<PathBuf> {
    let path = behind_links(&std::path::absolute(path).ok()?);
    // missing directories are created when the file is opened, so only existing ones are resolved
    let real = path.ancestors().skip(1).find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(std::fs::canonicalize(there).ok()?.join(rest))
    });
    Some(real.unwrap_or(path))
}

impl Output {
    /// Returns the path, if the output is a file.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Stdout | Place::Stderr | Place::Given(_) => None,
        }
    }

    /// Returns `true` if it writes each line as JSON to this file.
    pub(crate) fn writes_all_json_to(&self, path: &Path) -> bool {
        let is_same = |own: &Path| {
            own == path || real_path(own).is_some_and(|own| real_path(path) == Some(own))
        };
        self.json && self.filter.is_none() && self.path().is_some_and(is_same)
    }

    fn to(place: Place) -> Self {
        Self {
            place,
            json: false,
            form: None,
            color: None,
            context: false,
            blocking: false,
            rotation: None,
            filter: None,
        }
    }

    /// Returns standard output.
    pub fn stdout() -> Self {
        Self::to(Place::Stdout)
    }

    /// Returns standard error.
    pub fn stderr() -> Self {
        Self::to(Place::Stderr)
    }

    /// Returns a file that lines are appended to, created if missing. It is rotated by
    /// size, see [`Rotation`], and reopened on SIGHUP and after it was renamed or deleted.
    ///
    /// The path may name a pipe or a device, such as `/dev/stdout`, which is written
    /// to like standard output. A named pipe without a reader does not block.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::to(Place::File(path.into()))
    }

    /// Returns an output to a writer; each line is one `write`.
    /// Lines that the writer itself logs meanwhile are dropped.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self::to(Place::Given(Arc::new(RwLock::new(Target::given(
            Box::new(writer),
        )))))
    }

    /// Writes JSON lines instead of console lines.
    #[must_use]
    pub fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// Writes JSON lines in this form. Unless set, standard streams and files have the form
    /// of [`Config::json_form`](crate::Config::json_form), and writers the default form.
    #[must_use]
    pub fn json_form(mut self, form: JsonForm) -> Self {
        self.json = true;
        self.form = Some(form);
        self
    }

    /// Enables or disables colors of console lines, overriding terminal detection, `NO_COLOR` and `FORCE_COLOR`.
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.color = Some(color);
        self
    }

    /// Sets the minimum level of this output, in place of the levels of the configuration.
    #[must_use]
    pub fn level(self, level: Level) -> Self {
        self.filter(Filter::new(level))
    }

    /// Sets the level of each target for this output, in place of those of the configuration.
    ///
    /// An output with its own filter is not affected by [`set_level`](crate::set_level).
    /// [`recent`](crate::recent) has every line that some output accepted, and
    /// [`levels`](crate::levels) has the levels of the configuration only.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Limits the disk space of this file, in place of the limit of the configuration.
    #[must_use]
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = Some(rotation);
        self
    }

    /// Waits without limit for a reader that stalls, instead of dropping lines after
    /// [`STALL_BUDGET`](crate::STALL_BUDGET): for command-line programs, whose output is their purpose.
    #[must_use]
    pub fn blocking(mut self, blocking: bool) -> Self {
        self.blocking = blocking;
        self
    }

    /// Adds logger and context to console lines.
    #[must_use]
    pub fn context(mut self, context: bool) -> Self {
        self.context = context;
        self
    }
}
