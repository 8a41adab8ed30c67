//! The places that take lines.

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

/// A place that lines go to, and how they look there: for people unless set.
#[derive(Clone, Debug)]
pub struct Output {
    pub(crate) place: Place,
    pub(crate) json: bool,
    /// The form of the configuration applies unless set.
    pub(crate) form: Option<JsonForm>,
    pub(crate) color: Option<bool>,
    pub(crate) context: bool,
    pub(crate) blocking: bool,
    /// The rotation of the configuration applies unless set.
    pub(crate) rotation: Option<Rotation>,
    /// The filter of the configuration applies unless set.
    pub(crate) filter: Option<Filter>,
}

/// See [`Output`].
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

/// Returns the place to which a path leads, whether anything is there or not: links to the file and to its directories lead to the same.
fn place_of(path: &Path) -> Option<PathBuf> {
    let path = behind_links(&std::path::absolute(path).ok()?);
    // directories that are missing are made once the file is opened: links are looked for before them
    let real = path.ancestors().skip(1).find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(std::fs::canonicalize(there).ok()?.join(rest))
    });
    Some(real.unwrap_or(path))
}

impl Output {
    /// The file that it is, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Stdout | Place::Stderr | Place::Given(_) => None,
        }
    }

    /// Reports whether it writes each line as JSON to this file.
    pub(crate) fn has_all_in(&self, path: &Path) -> bool {
        let is_same = |own: &Path| {
            own == path || place_of(own).is_some_and(|own| place_of(path) == Some(own))
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

    /// Standard output.
    pub fn stdout() -> Self {
        Self::to(Place::Stdout)
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self::to(Place::Stderr)
    }

    /// A file that is appended to, and made if it is missing. It is rotated by size, see [`Rotation`], and opened again on
    /// SIGHUP and once it was renamed or deleted.
    ///
    /// A path may stand for a pipe or a device, as `/dev/stdout` does: that is written to as standard output is, and a
    /// named pipe without a reader is waited for by nobody.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::to(Place::File(path.into()))
    }

    /// Each line is one `write` to this. A line that is logged meanwhile, by the writer itself, is dropped.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self::to(Place::Given(Arc::new(RwLock::new(Target::given(
            Box::new(writer),
        )))))
    }

    /// Writes JSON lines, instead of lines for people.
    #[must_use]
    pub fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// Writes JSON lines in this form. Unless set, standard streams and files have the form of
    /// [`Config::json_form`](crate::Config::json_form), and writers have ours.
    #[must_use]
    pub fn json_form(mut self, form: JsonForm) -> Self {
        self.json = true;
        self.form = Some(form);
        self
    }

    /// Colors on lines for people, in place of what terminal, `NO_COLOR` and `FORCE_COLOR` say.
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.color = Some(color);
        self
    }

    /// Sets the least severe level that this output takes, in place of the levels of the configuration.
    #[must_use]
    pub fn level(self, level: Level) -> Self {
        self.filter(Filter::new(level))
    }

    /// Sets levels for each target that hold for this output, in place of those of the configuration.
    ///
    /// The filter of an output alone decides what it takes: [`set_level`](crate::set_level) changes outputs without
    /// one. [`recent`](crate::recent) and [`levels`](crate::levels) know nothing of it: the former has every line that some
    /// output took, the latter the levels of the configuration.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Limit on the disk space of this file, in place of that of the configuration.
    #[must_use]
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = Some(rotation);
        self
    }

    /// Waits for a reader that stalls, for as long as it takes, instead of dropping lines after
    /// [`STALL_BUDGET`](crate::STALL_BUDGET): for command-line programs, whose output is their purpose.
    #[must_use]
    pub fn blocking(mut self, blocking: bool) -> Self {
        self.blocking = blocking;
        self
    }

    /// Adds logger and context to lines for people.
    #[must_use]
    pub fn context(mut self, context: bool) -> Self {
        self.context = context;
        self
    }
}
