use serde::Serialize;

/// State of a [`Job`], which determines the color of its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobState {
    /// It waits for its turn.
    Waiting,
    /// It runs.
    Running,
    /// It completed successfully.
    Done,
    /// It failed.
    Failed,
    /// It was stopped by a person, or by the end of its process.
    Stopped,
}

/// Background work, as the page lists it: a run of an orchestrator, an import, a nightly report.
///
/// All texts are shown as plain text, whatever they contain. They must not contain secrets.
///
/// ```
/// use ops_admin::{Job, JobState, Phase};
///
/// let job = Job::new("0197f0c2", "import", JobState::Running, 1_763_000_000_000)
///     .started(1_763_000_000_200)
///     .phase(Phase::ended("fetch", 1200, true))
///     .phase(Phase::running("load"));
/// assert_eq!(job.phases.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Job {
    /// Id, which does not change while it is listed.
    pub id: String,
    /// Kind of work.
    pub name: String,
    /// State.
    pub state: JobState,
    /// The service's own word for the state; empty for that of `state`.
    pub status: String,
    /// Time at which it was requested, in milliseconds since 1970-01-01 UTC.
    pub requested_at: u64,
    /// Time at which it started, in milliseconds since 1970-01-01 UTC.
    pub started_at: Option<u64>,
    /// Run time in milliseconds, once it ended.
    pub took_ms: Option<u64>,
    /// Phases, in order.
    pub phases: Vec<Phase>,
    /// Error or other remark; may be empty.
    pub note: String,
    /// Id of the trace.
    pub trace_id: Option<String>,
}

/// One phase of a [`Job`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Phase {
    /// Name.
    pub name: String,
    /// Run time in milliseconds; `None` while it runs.
    pub took_ms: Option<u64>,
    /// `false` if it failed.
    pub ok: bool,
}

impl Job {
    /// Creates a job that was requested at `requested_at`, in milliseconds since 1970-01-01 UTC.
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        state: JobState,
        requested_at: u64,
    ) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            state,
            status: String::new(),
            requested_at,
            started_at: None,
            took_ms: None,
            phases: Vec::new(),
            note: String::new(),
            trace_id: None,
        }
    }

    /// Sets the service's own word for the state.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = status.into();
        self
    }

    /// Sets the time at which it started, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn started(mut self, at: impl Into<Option<u64>>) -> Self {
        self.started_at = at.into();
        self
    }

    /// Sets the run time in milliseconds.
    #[must_use]
    pub fn took_ms(mut self, took: impl Into<Option<u64>>) -> Self {
        self.took_ms = took.into();
        self
    }

    /// Adds a phase.
    #[must_use]
    pub fn phase(mut self, phase: Phase) -> Self {
        self.phases.push(phase);
        self
    }

    /// Sets the error or another remark.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Sets the id of the trace.
    #[must_use]
    pub fn trace_id(mut self, trace_id: impl Into<Option<String>>) -> Self {
        self.trace_id = trace_id.into();
        self
    }
}

impl Phase {
    /// Creates a phase that ended.
    pub fn ended(name: impl Into<String>, took_ms: u64, ok: bool) -> Self {
        Self {
            name: name.into(),
            took_ms: Some(took_ms),
            ok,
        }
    }

    /// Creates a phase that is running.
    pub fn running(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            took_ms: None,
            ok: true,
        }
    }
}
