//! Runs of the orchestrator, in the form that the admin page lists.

use ops_layer::admin::{Job, JobState, Phase};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::orchestrator::{Record, Runs, Status};

/// Title of the section.
pub const TITLE: &str = "Orchestrator runs";
/// Number of runs passed to the page, which shows as many.
const LISTED: usize = 20;

/// Returns the newest runs, newest first.
pub fn list(runs: &Runs) -> Vec<Job> {
    let (page, _) = runs.page(None, LISTED, |_| true);
    page.into_iter().map(job).collect()
}

fn job(record: Record) -> Job {
    let state = match record.status {
        Status::Queued => JobState::Waiting,
        Status::Running => JobState::Running,
        Status::Success => JobState::Done,
        Status::Failed | Status::Timeout => JobState::Failed,
        Status::Cancelled | Status::Interrupted => JobState::Stopped,
    };
    let requested = millis(&record.requested_at).unwrap_or_default();
    let mut job = Job::new(
        record.run_id.to_string(),
        record.job.name(),
        state,
        requested,
    )
    .status(record.status.as_str())
    .started(record.started_at.as_deref().and_then(millis))
    .took_ms(record.took_ms)
    .note(note(&record))
    .trace_id(record.trace_id);
    for phase in record.phases {
        job = job.phase(Phase::ended(phase.phase, phase.took_ms, phase.ok));
    }
    match record.phase {
        Some(phase) if record.status == Status::Running => job.phase(Phase::running(phase)),
        _ => job,
    }
}

fn note(record: &Record) -> String {
    let retries = match record.retries {
        0 => None,
        1 => Some("1 retry".to_owned()),
        retries => Some(format!("{retries} retries")),
    };
    let parts: Vec<String> = record.error.clone().into_iter().chain(retries).collect();
    parts.join("; ")
}

/// Converts a time of a record to milliseconds since 1970.
fn millis(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::{Job as Work, PhaseRecord};

    #[test]
    fn a_run_is_a_job_with_its_phases() {
        let mut record = Record::new(Work::Load, None);
        let waiting = job(record.clone());
        assert_eq!(
            (waiting.state, waiting.status.as_str()),
            (JobState::Waiting, "queued")
        );
        assert!(waiting.requested_at > 1_700_000_000_000 && waiting.started_at.is_none());

        record.status = Status::Running;
        record.started_at = Some("2026-01-02T03:04:05.678Z".to_owned());
        record.phase = Some("convert".to_owned());
        let phase = "fetch".to_owned();
        record.phases = vec![PhaseRecord {
            phase,
            took_ms: 12,
            ok: true,
        }];
        let running = job(record.clone());
        assert_eq!(running.started_at, Some(1_767_323_045_678));
        let right = [Phase::ended("fetch", 12, true), Phase::running("convert")];
        assert_eq!(running.phases, right);

        record.retries = 2;
        record.end(Status::Failed, Some("no such file".to_owned()));
        let failed = job(record);
        assert_eq!(failed.state, JobState::Failed);
        assert_eq!(failed.note, "no such file; 2 retries");
        assert_eq!(
            failed.phases.len(),
            1,
            "what runs no more is among those that ended"
        );
    }
}
