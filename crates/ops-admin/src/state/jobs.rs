use serde::Serialize;

use crate::text::redacted;
use crate::{Admin, Job, Phase};

/// Maximum number of jobs that are shown, and of phases of each: the last ones show where it is, or why it failed.
const SHOWN: usize = 20;
const PHASES: usize = 32;
/// Maximum length of a text in characters.
const TEXT_MAX: usize = 300;

/// Background work, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) items: Vec<Job>,
    /// Number of jobs that are not shown.
    left_out: usize,
    /// The function that lists them panicked, which is logged.
    panicked: bool,
}

pub(super) fn collect(admin: &Admin) -> Option<Part> {
    let (title, listed) = admin.listed_jobs()?;
    let panicked = listed.is_err();
    let mut items = listed.unwrap_or_default();
    let left_out = items.len().saturating_sub(SHOWN);
    items.truncate(SHOWN);
    for job in &mut items {
        sum_up(&mut job.phases);
        let names = job.phases.iter_mut().map(|phase| &mut phase.name);
        let texts = [&mut job.id, &mut job.name, &mut job.status, &mut job.note];
        for text in texts.into_iter().chain(names).chain(&mut job.trace_id) {
            *text = redacted(text).chars().take(TEXT_MAX).collect();
        }
    }
    Some(Part {
        title: title.to_owned(),
        items,
        left_out,
        panicked,
    })
}

/// Replaces the phases before the last ones by a single one with their total time.
fn sum_up(phases: &mut Vec<Phase>) {
    if phases.len() <= PHASES {
        return;
    }
    let last = phases.split_off(phases.len() - (PHASES - 1));
    let name = format!("{} earlier", phases.len());
    let took = phases.iter().map(|phase| phase.took_ms.unwrap_or(0));
    let took = took.fold(0, u64::saturating_add);
    let ok = phases.iter().all(|phase| phase.ok);
    *phases = vec![Phase::ended(name, took, ok)];
    phases.extend(last);
}
