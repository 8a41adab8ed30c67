use serde::Serialize;

use crate::text::redacted;
use crate::{Admin, Job};

/// Jobs that are shown, and phases of each.
const SHOWN: usize = 20;
const PHASES: usize = 32;
/// Characters of a text that are kept.
const TEXT_MAX: usize = 300;

/// Work in the background, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) items: Vec<Job>,
    /// Jobs that are not shown.
    left_out: usize,
    /// The function that lists them panicked, which is a line of the log.
    panicked: bool,
}

pub(super) fn collect(admin: &Admin) -> Option<Part> {
    let (title, listed) = admin.listed_jobs()?;
    let panicked = listed.is_err();
    let mut items = listed.unwrap_or_default();
    let left_out = items.len().saturating_sub(SHOWN);
    items.truncate(SHOWN);
    for job in &mut items {
        job.phases.truncate(PHASES);
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
