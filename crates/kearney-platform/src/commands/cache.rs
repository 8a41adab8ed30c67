//! `kearney-platform cache`: content of the query cache, for the runbook. A running platform applies changes within one
//! second. Statistics that only the platform has, such as lookups in the shared bucket, come from its admin page.

mod served;

use std::path::Path;

use ops_layer::cache::{Cache, Config};
use serde_json::{Value, json};

use crate::addresses::Addresses;
use crate::args::{self, CachePlace};
use crate::error::{Error, Kind, Result};
use crate::files::{self, DataDir};
use crate::output::{print_json, print_result};

/// Number of past invalidations in the text output.
const SHOWN: usize = 5;

pub fn run(command: args::Cache) -> Result<()> {
    let failed = |error| Error::new(Kind::Cache, "cannot change the cache").because(error);
    match command {
        args::Cache::Stats { json, place } => {
            let found = match &place.admin {
                Some(admin) => served::stats(admin)?,
                None => stats(&place)?,
            };
            match json {
                true => print_json(&found),
                false => print_result(&shown(&found)),
            }
        }
        args::Cache::Invalidate { pattern, place } => {
            if let Some(admin) = &place.admin {
                return print_result(&served::invalidate(admin, &pattern)?);
            }
            let cache = open(&place)?;
            let removed = match pattern.strip_prefix("table:") {
                Some(table) => cache.invalidate_table(table),
                None => cache.invalidate(&pattern),
            };
            let removed = removed.map_err(failed)?;
            print_result(&format!("removed {removed} entries\n"))
        }
        args::Cache::Clear { place } => {
            if let Some(admin) = &place.admin {
                return print_result(&served::invalidate(admin, "*")?);
            }
            let removed = open(&place)?.clear().map_err(failed)?;
            print_result(&format!("removed {removed} entries\n"))
        }
    }
}

/// Reads the directory, and asks the platform that uses it for the state of the bucket.
fn stats(place: &CachePlace) -> Result<Value> {
    let cache = open(place)?;
    let stats = cache.get_stats();
    let ago = |at: std::time::SystemTime| at.elapsed().unwrap_or_default().as_secs();
    let past = cache.invalidations();
    let past = past.iter().map(
        |one| json!({ "seconds_ago": ago(one.at), "pattern": one.pattern, "removed": one.removed }),
    );
    // a platform that was killed leaves its address file behind, and any process may listen there now
    let is_served = DataDir::lock_unowned(&place.data_dir).is_none();
    let known = is_served.then(|| Addresses::read(&place.data_dir));
    let admin = known.flatten().and_then(|known| known.admin);
    Ok(json!({
        "entries": stats.entries,
        "total_size_bytes": stats.total_size_bytes,
        "invalidations": past.collect::<Vec<_>>(),
        "shared": admin.and_then(|admin| served::shared(&admin).ok()),
    }))
}

fn shown(found: &Value) -> String {
    let none = Vec::new();
    let past = found["invalidations"].as_array().unwrap_or(&none);
    let lines = past[past.len().saturating_sub(SHOWN)..].iter().map(|one| {
        format!(
            "  {} s ago: {} removed {}\n",
            one["seconds_ago"], one["pattern"], one["removed"]
        )
    });
    let bytes = found["total_size_bytes"].as_f64().unwrap_or_default();
    let counted = match found.get("hits") {
        Some(hits) => format!("hits: {hits}, misses: {}\n", found["misses"]),
        None => "hits and misses are counted by the serving process: see --admin ADDRESS, /metrics or its admin page\n".to_owned(),
    };
    format!(
        "entries: {}\ntotal_size_mb: {:.2}\ninvalidations (last {SHOWN} of {}):\n{}{}{counted}",
        found["entries"],
        bytes / 1_048_576.0,
        past.len(),
        lines.collect::<String>(),
        served::shown(&found["shared"]),
    )
}

/// Opens an existing cache; a mistyped path is an error, and no directory is created.
fn open(place: &CachePlace) -> Result<Cache> {
    let path = place.data_dir.join("cache");
    let failed = |message: String| Error::new(Kind::Cache, message);
    files::refuse_link(&path)
        .map_err(|error| failed(format!("cannot open {}", path.display())).because(error))?;
    let is_there = Path::new(&path).join("FORMAT").try_exists();
    if !is_there
        .map_err(|error| failed(format!("cannot read {}", path.display())).because(error))?
    {
        return Err(failed(format!(
            "no cache in {}; set the platform's data directory with --data-dir",
            path.display()
        )));
    }
    let mut config = Config::default();
    // only the platform knows its size limit: nothing is evicted here
    config.query_cache.max_size_mb = u64::MAX;
    Cache::open_with(&path, &config)
        .map_err(|error| failed(format!("cannot open {}", path.display())).because(error))
}
