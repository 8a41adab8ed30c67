//! `kearney-platform cache`: what the query cache keeps, for the runbook. The platform may run meanwhile; it notices
//! within one second.

use std::path::Path;

use ops_layer::cache::{Cache, Config};

use crate::args::{self, CacheDir};

/// Past invalidations that are shown.
const SHOWN: usize = 20;

#[expect(
    clippy::print_stdout,
    reason = "the answer of a command goes to stdout"
)]
pub fn run(command: args::Cache) -> Result<(), String> {
    match command {
        args::Cache::Stats(dir) => {
            let cache = open(&dir)?;
            let stats = cache.get_stats();
            println!("entries: {}", stats.entries);
            println!("total_size_mb: {:.2}", stats.total_size_mb);
            println!("invalidations (last {SHOWN}):");
            let past = cache.invalidations();
            for one in &past[past.len().saturating_sub(SHOWN)..] {
                let ago = one.at.elapsed().unwrap_or_default().as_secs();
                println!("  {ago} s ago: {:?} removed {}", one.pattern, one.removed);
            }
            println!(
                "hits and misses are counted by the process that serves: /metrics, or its admin page"
            );
        }
        args::Cache::Invalidate { pattern, dir } => {
            let cache = open(&dir)?;
            let removed = match pattern.strip_prefix("table:") {
                Some(table) => cache.invalidate_table(table),
                None => cache.invalidate(&pattern).map_err(|e| e.to_string())?,
            };
            println!("removed {removed} entries");
        }
        args::Cache::Clear(dir) => println!("removed {} entries", open(&dir)?.clear()),
    }
    Ok(())
}

/// A cache that is there: a mistyped path is told, and no directory made.
fn open(dir: &CacheDir) -> Result<Cache, String> {
    let path = dir.data_dir.join("cache");
    if !Path::new(&path).join("FORMAT").exists() {
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
