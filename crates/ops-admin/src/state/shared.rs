use data_cache::Cache;
use serde::Serialize;

/// State of the bucket through which machines share results.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    state: State,
    hits: u64,
    misses: u64,
    /// Lookups that failed or took too long.
    failed: u64,
    /// Lookups that did not query the bucket, because it did not respond shortly before.
    skipped: u64,
    /// Lookups that did not query the bucket, because the result is quick to compute.
    quick: u64,
    /// Objects that were not read: damaged, foreign, or sealed with another key.
    refused: u64,
    expired: u64,
    /// Lookups that waited for another machine.
    waited: u64,
    written: u64,
    /// Results that were not written: too many were pending, the bucket did not respond, or it refused them.
    dropped: u64,
    /// Queries whose results stay on this machine, because the engine's data may be written.
    without_content: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Answers,
    /// It is not queried until a probe succeeds.
    Unreachable,
    /// It responds, but accepts no writes: its results are used, none is added, and it gives no leases.
    ReadOnly,
    /// It responds, but gives no leases.
    WithoutConditions,
}

pub(super) fn collect(cache: &Cache) -> Option<Part> {
    let stats = cache.shared_stats()?;
    Some(Part {
        state: match (stats.is_open, stats.is_read_only, stats.is_conditional) {
            (true, ..) => State::Unreachable,
            (false, true, _) => State::ReadOnly,
            (false, false, Some(false)) => State::WithoutConditions,
            (false, false, _) => State::Answers,
        },
        hits: stats.hits,
        misses: stats.misses,
        failed: stats.failed,
        skipped: stats.skipped,
        quick: stats.quick,
        refused: stats.refused,
        expired: stats.expired,
        waited: stats.waited,
        written: stats.written,
        dropped: stats.dropped + stats.write_failed,
        without_content: stats.without_content,
    })
}
