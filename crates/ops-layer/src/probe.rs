//! The rules for one part that is asked now, without a running service: for commands that look for causes.

use std::path::Path;

use crate::findings::snapshot::Snapshot;
use crate::findings::{Finding, disk, is_production, judge};
use crate::glue;

/// Returns what is wrong with these secrets, as far as they were asked for. [`validate`] asks every source.
///
/// [`validate`]: ops_secrets::Secrets::validate
#[cfg(feature = "secrets")]
pub fn diagnose_secrets(secrets: &ops_secrets::Secrets) -> Vec<Finding> {
    scrubbed(judge(&Snapshot {
        secrets: Some(glue::secrets::seen(secrets)),
        ..Snapshot::nothing(is_production())
    }))
}

/// Returns what is wrong with the export of spans of this handle. A failure counts from the first one on.
#[cfg(feature = "trace")]
pub fn diagnose_export(traces: &ops_trace::Handle) -> Vec<Finding> {
    let (stats, health) = (traces.stats(), traces.export_health());
    let export = glue::trace::seen(&stats, health);
    scrubbed(
        crate::findings::collector_failure(&export)
            .into_iter()
            .collect(),
    )
}

/// Returns what is wrong with the file system below this directory, or below the nearest one that is there.
pub fn diagnose_disk(dir: &Path) -> Vec<Finding> {
    scrubbed(judge(&Snapshot {
        disks: disk::read(dir).into_iter().collect(),
        ..Snapshot::nothing(is_production())
    }))
}

fn scrubbed(mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut findings {
        finding.seen = glue::log::scrubbed(std::mem::take(&mut finding.seen));
    }
    findings
}
