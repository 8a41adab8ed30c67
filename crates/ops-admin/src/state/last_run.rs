use crate::text::redacted;
use crate::{Admin, LastRun};

/// Returns the previous run, with secrets redacted that were registered since.
pub(super) fn collect(admin: &Admin) -> Option<LastRun> {
    let mut last = admin.last_run_shown()?.clone();
    let records = last.records.iter_mut();
    let texts = records.flat_map(|record| record.name.iter_mut().chain([&mut record.text]));
    for text in texts.chain([&mut last.how]) {
        *text = redacted(text);
    }
    Some(last)
}
