use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type Run = Arc<dyn Fn() -> u64 + Send + Sync>;
type Flush = Arc<dyn Fn(Duration) -> bool + Send + Sync>;
type Engine = Arc<dyn Fn(Ask<'_>) -> Result<Rows, String> + Send + Sync>;

/// Time limit of a statement.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(10);

/// History of lines, spans and metrics that outlives the process: files that are queried with SQL.
///
/// ```
/// use ops_admin::{History, Rows, Statement};
///
/// let history = History::new("/var/lib/shop/history", || 12, |_budget| true)
///     .question("runs", "starts of the service", None)
///     .engine(|ask| match ask.statement {
///         Statement::Named { name: "runs", .. } => Ok(Rows::new(["run"]).row(["12"])),
///         _ => Err("there is no such question".to_owned()),
///     });
/// let page = ops_admin::Admin::new("shop").history(history);
/// # let _ = page;
/// ```
#[derive(Clone)]
pub struct History {
    directory: String,
    run: Run,
    flush: Flush,
    engine: Option<Engine>,
    questions: Vec<Question>,
    /// Allows one statement at a time.
    turn: Arc<Semaphore>,
}

/// Question that is asked by its name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Description of its argument.
    pub(crate) argument: Option<&'static str>,
}

/// Question to the engine of a [`History`], with its limits.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ask<'a> {
    /// Statement.
    pub statement: Statement<'a>,
    /// Maximum number of rows in the result.
    pub rows: usize,
    /// Time limit.
    pub time: Duration,
}

/// Statement of an [`Ask`].
#[derive(Clone, Copy, Debug)]
pub enum Statement<'a> {
    /// One of the questions of the history.
    Named {
        /// Its name.
        name: &'a str,
        /// Its argument.
        argument: Option<&'a str>,
    },
    /// One SELECT, as the user wrote it.
    Sql(&'a str),
}

/// Reason why a question is not answered.
pub(crate) enum Unanswered {
    NoEngine,
    Busy,
    Refused(String),
}

impl History {
    /// Creates a history whose files are in this directory. `run` returns the current
    /// number of the run. `flush` writes pending records to files within the given
    /// time, and returns `false` on timeout; it is called on a thread that may block.
    pub fn new(
        directory: impl Into<String>,
        run: impl Fn() -> u64 + Send + Sync + 'static,
        flush: impl Fn(Duration) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            directory: directory.into(),
            run: Arc::new(run),
            flush: Arc::new(flush),
            engine: None,
            questions: Vec::new(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Sets the engine that answers questions. It must read only the files of the history,
    /// and observe the limits of the question. It is called on a thread that may block, by
    /// one request at a time. Without an engine, the page reports that there is none.
    #[must_use]
    pub fn engine(
        mut self,
        engine: impl Fn(Ask<'_>) -> Result<Rows, String> + Send + Sync + 'static,
    ) -> Self {
        self.engine = Some(Arc::new(engine));
        self
    }

    /// Adds a question that the engine answers by its name.
    #[must_use]
    pub fn question(
        mut self,
        name: &'static str,
        about: &'static str,
        argument: Option<&'static str>,
    ) -> Self {
        self.questions.push(Question {
            name,
            about,
            argument,
        });
        self
    }

    /// Writes pending records to files; `false` on timeout, or if that panicked.
    pub(crate) fn flush(&self, budget: Duration) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.flush)(budget))).unwrap_or(false)
    }

    /// Returns the directory of the files.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// Returns the number of this run; 0 if the function panicked.
    pub(crate) fn run(&self) -> u64 {
        catch_unwind(AssertUnwindSafe(|| (self.run)())).unwrap_or(0)
    }

    pub(crate) fn has_engine(&self) -> bool {
        self.engine.is_some()
    }

    pub(crate) fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// Reserves the engine for one question, after the previous one.
    pub(crate) async fn take_turn(&self) -> Result<Turn, Unanswered> {
        let engine = self.engine.clone().ok_or(Unanswered::NoEngine)?;
        let turn = tokio::time::timeout(TIME_MAX, self.turn.clone().acquire_owned());
        match turn.await {
            Ok(Ok(turn)) => Ok(Turn {
                engine,
                _turn: turn,
            }),
            _ => Err(Unanswered::Busy),
        }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("directory", &self.directory)
            .field("run", &self.run())
            .finish_non_exhaustive()
    }
}

/// Exclusive use of the engine, until it is dropped.
pub(crate) struct Turn {
    engine: Engine,
    _turn: OwnedSemaphorePermit,
}

impl Turn {
    pub(crate) fn ask(&self, ask: Ask<'_>) -> Result<Rows, Unanswered> {
        let answered = catch_unwind(AssertUnwindSafe(|| (self.engine)(ask)));
        let panicked = || Err("the engine panicked; see the log".to_owned());
        answered
            .unwrap_or_else(|_| panicked())
            .map_err(Unanswered::Refused)
    }
}

/// Result of the engine of a history.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, each with the JSON text of one value for each column.
    pub rows: Vec<Vec<String>>,
    /// There are more rows than requested.
    pub is_truncated: bool,
    /// Number of files that were read.
    pub files: usize,
    /// Files that were left out, each with the reason.
    pub skipped: Vec<String>,
    /// Duration in seconds.
    pub seconds: f64,
}

impl Rows {
    /// Creates a result with these columns and without rows.
    pub fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Adds a row of JSON texts.
    #[must_use]
    pub fn row(mut self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.rows.push(values.into_iter().map(Into::into).collect());
        self
    }
}
