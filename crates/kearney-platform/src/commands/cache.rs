//! `kearney-platform cache`: what the query cache keeps, for the runbook. The platform may run meanwhile; it notices
//! within one second.

use std::path::Path;

use ops_layer::cache::{Cache, Config};
use serde_json::json;

use crate::args::{self, CacheDir};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::output::{answer, answer_json};

/// Past invalidations that are shown to people.
const SHOWN: usize = 5;

pub fn run(command: args::Cache) -> Result<()> {
    let failed = |error| Error::new(Kind::Cache, "the cache could not be changed").because(error);
    match command {
        args::Cache::Stats { json, dir } => stats(&open(&dir)?, json),
        args::Cache::Invalidate { pattern, dir } => {
            let cache = open(&dir)?;
            let removed = match pattern.strip_prefix("table:") {
                Some(table) => cache.invalidate_table(table),
                None => cache.invalidate(&pattern),
            };
            let removed = removed.map_err(failed)?;
            answer(&format!("removed {removed} entries\n"))
        }
        args::Cache::Clear(dir) => {
            let removed = open(&dir)?.clear().map_err(failed)?;
            answer(&format!("removed {removed} entries\n"))
        }
    }
}

fn stats(cache: &Cache, as_json: bool) -> Result<()> {
    let stats = cache.get_stats();
    let past = cache.invalidations();
    let ago = |at: std::time::SystemTime| at.elapsed().unwrap_or_default().as_secs();
    if as_json {
        let past = past.iter().map(|one| {
            json!({ "seconds_ago": ago(one.at), "pattern": one.pattern, "removed": one.removed })
        });
        return answer_json(&json!({
            "entries": stats.entries,
            "total_size_bytes": stats.total_size_bytes,
            "invalidations": past.collect::<Vec<_>>(),
        }));
    }
    let lines = past[past.len().saturating_sub(SHOWN)..].iter().map(|one| {
        format!(
            "  {} s ago: {:?} removed {}\n",
            ago(one.at),
            one.pattern,
            one.removed
        )
    });
    answer(&format!(
        "entries: {}\ntotal_size_mb: {:.2}\ninvalidations (last {SHOWN} of {}):\n{}\
         hits and misses are counted by the process that serves: /metrics, or its admin page\n",
        stats.entries,
        stats.total_size_mb,
        past.len(),
        lines.collect::<String>()
    ))
}

/// A cache that is there: a mistyped path is told, and no directory made.
fn open(dir: &CacheDir) -> Result<Cache> {
    let path = dir.data_dir.join("cache");
    let failed = |told: String| Error::new(Kind::Cache, told);
    files::refuse_link(&path)
        .map_err(|error| failed(format!("cannot open {}", path.display())).because(error))?;
    let is_there = Path::new(&path).join("FORMAT").try_exists();
    if !is_there
        .map_err(|error| failed(format!("cannot read {}", path.display())).because(error))?
    {
        return Err(failed(format!(
            "there is no cache in {}: name the platform's data directory with --data-dir",
            path.display()
        )));
    }
    let mut config = Config::default();
    // only the platform knows its limit: nothing is removed for space here
    config.query_cache.max_size_mb = u64::MAX;
    Cache::open_with(&path, &config)
        .map_err(|error| failed(format!("cannot open {}", path.display())).because(error))
}
