//! Rules about the query cache and its engine.

use std::time::Duration;

use super::history::{History, WINDOW};
use super::secrets::cause_of;
use super::snapshot::Snapshot;
use super::{Finding, Severity};

/// Recent window, short so that a collapse shows within a minute.
const RECENT: Duration = Duration::from_secs(30);
/// Minimum number of lookups for a meaningful ratio: in the recent window, and in the hour before.
const RECENT_LOOKUPS: u64 = 50;
const HOUR_LOOKUPS: u64 = 200;
/// Minimum usual hit ratio: below it, a cache cannot collapse.
const LEAST_RATIO: f64 = 0.3;
/// Minimum step of the clock: a smaller one lets few entries expire early.
const EXPIRING_STEP: Duration = Duration::from_secs(60);
const QUERIES: u64 = 20;
const FAILED_SHARE: f64 = 0.1;
const SLOW_SHARE: f64 = 0.05;

pub(super) fn collapsed(now: &Snapshot, history: &History) -> Option<Finding> {
    let cache = now.cache?;
    let before = history.since(now, RECENT)?.cache?;
    let hour = history.hour_ago()?;
    let ratio = |hits: u64, misses: u64| hits as f64 / (hits + misses).max(1) as f64;
    let (hits, misses) = (
        cache.hits.saturating_sub(before.hits),
        cache.misses.saturating_sub(before.misses),
    );
    let (old_hits, old_misses) = (
        before.hits.saturating_sub(hour.hits),
        before.misses.saturating_sub(hour.misses),
    );
    if hits + misses < RECENT_LOOKUPS || old_hits + old_misses < HOUR_LOOKUPS {
        return None;
    }
    let (recent, usual) = (ratio(hits, misses), ratio(old_hits, old_misses));
    let share = if history.is_active("cache_hit_collapsed") {
        0.7
    } else {
        0.5
    };
    if usual < LEAST_RATIO || recent >= usual * share {
        return None;
    }
    let removed = |now: u64, then: u64| now.saturating_sub(then);
    let finding = Finding::new("cache_hit_collapsed", Severity::Warning)
        .seen(format!(
            "{:.0} % of {} lookups hit in the last 30 s, {:.0} % in the hour before (entries removed in these 30 s: {} invalidated, \
             {} expired, {} evicted; {} results not stored)",
            recent * 100.0,
            hits + misses,
            usual * 100.0,
            removed(cache.invalidated, before.invalidated),
            removed(cache.expired, before.expired),
            removed(cache.evicted, before.evicted),
            removed(cache.not_stored, before.not_stored),
        ))
        .means("Queries that the cache used to answer run in DuckDB, so latency rises.")
        .action("Check what changed: an invalidation, a deployment, or parameters that differ in each request.");
    let finding = history.clock_may_explain(finding, now, EXPIRING_STEP);
    Some(finding.runbook("cache-miss-rate-elevated"))
}

pub(super) fn writes_paused(now: &Snapshot, _: &History) -> Option<Finding> {
    now.cache?.is_paused.then(|| {
        Finding::new("cache_writes_paused", Severity::Warning)
            .seen(
                "the disk is full, read-only or failing: results are not written to files, with a retry every 30 s",
            )
            .means("Results are kept in memory only and are lost on restart.")
            .action("Free disk space in the cache directory, or check the disk (`dmesg`).")
            .runbook("disk-full")
    })
}

pub(super) fn unreachable(now: &Snapshot, _: &History) -> Option<Finding> {
    let shared = now.shared.as_ref()?;
    let finding = Finding::new("shared_store_unreachable", Severity::Warning)
        .means(
            "Each machine computes its own results; entries in its memory and files are still served.",
        )
        .runbook("shared-store-unreachable");
    if let Some(key) = &shared.missing_key {
        let finding =
            finding.seen("the source of the shared bucket's key was unavailable at startup");
        let finding = finding.explained_by(cause_of(now, key));
        return Some(finding.action("See the log event `secret_unavailable`, then restart."));
    }
    let since = shared.open_since?;
    let finding = finding.seen(format!(
        "the shared bucket does not respond ({} lookups failed and {} results were not written since startup)",
        shared.failed, shared.dropped
    ));
    let finding = finding.action(
        "Check endpoint, credentials and network: the log event `shared_store_failed` has the cause. The bucket is retried every 5 s.",
    );
    Some(finding.since(since))
}

pub(super) fn unconditional(now: &Snapshot, _: &History) -> Option<Finding> {
    now.shared.as_ref()?.is_unconditional.then(|| {
        Finding::new("shared_store_unconditional", Severity::Warning)
            .seen("the shared bucket ignores conditional writes (If-None-Match)")
            .means("Machines that miss at the same time compute the same result; results without a content id are not shared.")
            .action("Use a store that supports conditional writes, or a newer version of this one; then restart.")
            .runbook("shared-store-unreachable")
    })
}

pub(super) fn failing(now: &Snapshot, history: &History) -> Option<Finding> {
    let (queries, before) = (now.queries?, history.since(now, WINDOW)?.queries?);
    let run = queries.run.saturating_sub(before.run);
    let failed = queries.failed.saturating_sub(before.failed);
    let share = failed as f64 / run.max(1) as f64;
    (failed >= 5 && share >= FAILED_SHARE).then(|| {
        Finding::new("duckdb_failing", Severity::Critical)
            .seen(format!(
                "{failed} of {run} queries failed in the last minute"
            ))
            .means("Requests that run these queries fail.")
            .action("Read the error in the log lines of the failed requests.")
            .runbook("duckdb-slow")
    })
}

pub(super) fn slow(now: &Snapshot, history: &History) -> Option<Finding> {
    let (queries, before) = (now.queries?, history.since(now, WINDOW)?.queries?);
    let run = queries.run.saturating_sub(before.run);
    let slow = queries.slow.saturating_sub(before.slow);
    (run >= QUERIES && slow as f64 / run as f64 >= SLOW_SHARE).then(|| {
        Finding::new("duckdb_slow", Severity::Warning)
            .seen(format!(
                "{slow} of {run} queries took longer than 1 s in the last minute"
            ))
            .means("Requests that miss the cache are slow.")
            .action("Find the query in the slow traces on the admin page, then check its plan with EXPLAIN ANALYZE.")
            .runbook("duckdb-slow")
    })
}
