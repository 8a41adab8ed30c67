use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::job::{Client, Job};
use crate::domain_metrics::RunStatus;
use crate::registry::Dataset;

/// State of a run, and its history once it ended; returned by the API, and stored as a file in the data directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// UUID version 7: ids sort by the time of the request.
    pub run_id: Uuid,
    pub job: Job,
    pub client: Option<Client>,
    pub status: Status,
    /// Current or last phase.
    pub phase: Option<String>,
    pub requested_at: String,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub took_ms: Option<u64>,
    /// Completed phases, in order.
    pub phases: Vec<PhaseRecord>,
    /// Number of retries of all agents.
    pub retries: u32,
    pub error: Option<String>,
    pub result: Option<Dataset>,
    pub trace_id: Option<String>,
}

/// A completed phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhaseRecord {
    pub phase: String,
    pub took_ms: u64,
    pub ok: bool,
}

/// State of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Queued,
    Running,
    Success,
    Failed,
    Cancelled,
    Timeout,
    /// The process ended before the run did.
    Interrupted,
}

impl Record {
    pub fn new(job: Job, client: Option<Client>) -> Self {
        Self {
            run_id: Uuid::now_v7(),
            job,
            client,
            status: Status::Queued,
            phase: None,
            requested_at: now(),
            started_at: None,
            finished_at: None,
            took_ms: None,
            phases: Vec::new(),
            retries: 0,
            error: None,
            result: None,
            trace_id: None,
        }
    }

    /// Ends the run with this status.
    pub fn end(&mut self, status: Status, error: Option<String>) {
        self.status = status;
        self.error = error;
        self.finished_at = Some(now());
    }
}

impl Status {
    /// Returns the label value of an ended run.
    pub fn outcome(self) -> Option<RunStatus> {
        Some(match self {
            Self::Queued | Self::Running => return None,
            Self::Success => RunStatus::Success,
            Self::Failed => RunStatus::Failed,
            Self::Cancelled => RunStatus::Cancelled,
            Self::Timeout => RunStatus::Timeout,
            Self::Interrupted => RunStatus::Interrupted,
        })
    }

    pub fn has_ended(self) -> bool {
        self.outcome().is_some()
    }

    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::Cancelled,
        Self::Timeout,
        Self::Interrupted,
    ];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Returns the current time as RFC 3339, in UTC.
pub fn now() -> String {
    // formatting fails only for years far outside the range of clocks
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}
