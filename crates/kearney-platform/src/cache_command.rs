//! `kearney-platform cache`: what the query cache keeps, for the runbook. The platform may run meanwhile; it notices
//! within one second.

use std::path::Path;

use ops_layer::cache::{Cache, Config};

use crate::answer;
use crate::args::{self, CacheDir};

/// Past invalidations that are shown.
const SHOWN: usize = 20;

pub fn run(command: args::Cache) -> Result<(), String> {
    match command {
        args::Cache::Stats(dir) => {
            let cache = open(&dir)?;
            let stats = cache.get_stats();
            let past = cache.invalidations();
            let lines = past[past.len().saturating_sub(SHOWN)..].iter().map(|one| {
                let ago = one.at.elapsed().unwrap_or_default().as_secs();
                format!("  {ago} s ago: {:?} removed {}\n", one.pattern, one.removed)
            });
            answer(&format!(
                "entries: {}\ntotal_size_mb: {:.2}\ninvalidations (last {SHOWN}):\n{}\
                 hits and misses are counted by the process that serves: /metrics, or its admin page\n",
                stats.entries,
                stats.total_size_mb,
                lines.collect::<String>()
            ))
        }
        args::Cache::Invalidate { pattern, dir } => {
            let cache = open(&dir)?;
            let removed = match pattern.strip_prefix("table:") {
                Some(table) => cache.invalidate_table(table),
                None => cache.invalidate(&pattern),
            };
            let removed = removed.map_err(|error| error.to_string())?;
            answer(&format!("removed {removed} entries\n"))
        }
        args::Cache::Clear(dir) => {
            let removed = open(&dir)?.clear().map_err(|error| error.to_string())?;
            answer(&format!("removed {removed} entries\n"))
        }
    }
}

/// A cache that is there: a mistyped path is told, and no directory made.
fn open(dir: &CacheDir) -> Result<Cache, String> {
    let path = dir.data_dir.join("cache");
    let is_there = Path::new(&path).join("FORMAT").try_exists();
    if !is_there.map_err(|error| format!("cannot read {}: {error}", path.display()))? {
        return Err(format!(
            "there is no cache in {}: name the platform's data directory with --data-dir",
            path.display()
        ));
    }
    let mut config = Config::default();
    // only the platform knows its limit: nothing is removed for space here
    config.query_cache.max_size_mb = u64::MAX;
    Cache::open_with(&path, &config).map_err(|error| error.to_string())
}
