//! Rules for one part that is queried now, without a running service: for diagnostic commands.

use std::path::Path;

use crate::findings::snapshot::Snapshot;
use crate::findings::{Finding, disk, is_production, judge};
use crate::glue;

/// Returns the findings about these secrets, as far as they were looked up. [`validate`] queries every source.
///
/// [`validate`]: ops_secrets::Secrets::validate
#[cfg(feature = "secrets")]
pub fn diagnose_secrets(secrets: &ops_secrets::Secrets) -> Vec<Finding> {
    scrubbed(judge(&Snapshot {
        secrets: Some(glue::secrets::seen(secrets)),
        ..Snapshot::nothing(is_production())
    }))
}

/// Returns the findings about the span export of this handle. Even the first failure counts.
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

/// Returns the findings about the file system of this directory, or of its nearest existing parent.
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
