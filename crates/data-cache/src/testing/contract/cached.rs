//! Cases for an engine behind a cache.

use std::time::Duration;

use super::{Borrowed, Case, Contract, Outcome, same};
use crate::cache::Cache;
use crate::config::Config;
use crate::event::Status;
use crate::params::Params;
use crate::query::CachedEngine;
use crate::testing::TempDir;

pub(super) const CASES: &[Case] = &[
    ("state_stays_while_nothing_is_written", state),
    ("result_from_memory_is_the_engine_s", from_memory),
    ("result_from_a_file_is_the_engine_s", from_file),
    ("error_is_not_cached", no_error),
];

const SQL: &str =
    "SELECT n, s FROM (VALUES (1, 'a  b'), (2, NULL), (3, 'Zürich')) AS t(n, s) ORDER BY n";
const MINUTE: Duration = Duration::from_secs(60);

fn state(on: &Contract) -> Outcome {
    let state = on
        .engine
        .state(SQL)
        .or_else(|_| on.engine.state_if_asked(SQL));
    let state = state.map_err(|reason| format!("no state: {reason:?}"))?;
    match on.engine.is_current(SQL, &state) {
        true => Ok(()),
        false => Err("the state is not current a moment later".to_owned()),
    }
}

fn cached(on: &Contract, yaml: &str) -> Result<(TempDir, CachedEngine<Borrowed>), String> {
    let dir = TempDir::new().map_err(|error| error.to_string())?;
    let config = Config::from_yaml("contract", yaml).map_err(|error| error.to_string())?;
    let cache = Cache::open_with(dir.path(), &config).map_err(|error| error.to_string())?;
    Ok((dir, CachedEngine::new(Borrowed(on.engine.clone()), cache)))
}

fn hits(on: &Contract, yaml: &str) -> Outcome {
    let (_dir, cached) = cached(on, yaml)?;
    let ask = || {
        let answer = cached.query(SQL, Params::new()).ttl(MINUTE).blocking();
        answer.map_err(|error| error.to_string())
    };
    let first = ask()?;
    same("status", &first.status(), &Status::Miss)?;
    cached.cache().flush(MINUTE);
    let second = ask()?;
    if !matches!(second.status(), Status::Hit(_)) {
        return Err(format!(
            "the second query is not a hit: {:?}",
            second.status()
        ));
    }
    let direct = on
        .ask(SQL, &Params::new())
        .map_err(|error| error.to_string())?;
    let schema = |batches: &[arrow::array::RecordBatch]| {
        batches.first().map(arrow::array::RecordBatch::schema)
    };
    same("schema", &schema(second.batches()), &schema(&direct))?;
    let found = super::rows_of(second.batches())?;
    same(SQL, &found, &super::rows_of(&direct)?)
}

fn from_memory(on: &Contract) -> Outcome {
    hits(on, "query_cache: {memory_mb: 16}")
}

fn from_file(on: &Contract) -> Outcome {
    hits(on, "query_cache: {memory_mb: 0}")
}

fn no_error(on: &Contract) -> Outcome {
    let (_dir, cached) = cached(on, "query_cache: {memory_mb: 16}")?;
    let sql = "SELECT CAST(s AS INTEGER) AS n FROM (VALUES ('1'), ('x')) AS t(s)";
    for _ in 0..2 {
        if cached
            .query(sql, Params::new())
            .ttl(MINUTE)
            .blocking()
            .is_ok()
        {
            return Err(format!("{sql}: expected an error"));
        }
    }
    same("entries", &cached.cache().get_stats().entries, &0)
}
