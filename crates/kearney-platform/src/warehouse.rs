//! The warehouse: loaded whole or not at all, asked through the cache.

use std::path::Path;

use arrow::json::writer::{JsonArray, WriterBuilder};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use ops_layer::cache::arrow::array::RecordBatch;
use ops_layer::cache::http::Validator;
use ops_layer::cache::{Cache, CachedWarehouse, Params, Warehouse, params};
use serde_json::Value;

use crate::datasets::Source;
use crate::domain_metrics::Phase;
use crate::orchestrator::Run;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::registry::Dataset;

/// The tables, and what each is made of.
const TABLES: [(&str, Phase, &str); 3] = [
    (
        "flights",
        Phase::LoadFlights,
        "read_parquet('{dir}/flights-3m.parquet')",
    ),
    (
        "airports",
        Phase::LoadAirports,
        "read_csv('{dir}/airports.csv', types = {'iata': 'VARCHAR'})",
    ),
    (
        "zipcodes",
        Phase::LoadZipcodes,
        "read_csv('{dir}/zipcodes.csv', types = {'zip_code': 'VARCHAR'})",
    ),
];

/// Opens the warehouse in `data_dir`, after loading it where it is missing, or was loaded from another source or from
/// files that were replaced since.
///
/// A load goes into a draft file, ends with a checkpoint, and is renamed into place: a process that dies
/// meanwhile leaves the draft behind, which the next one deletes.
pub fn open(
    data_dir: &Path,
    source: &Source,
    cache: Cache,
    stopping: &dyn Fn() -> bool,
) -> Result<(CachedWarehouse, Vec<Dataset>), String> {
    let path = data_dir.join("warehouse.duckdb");
    // before the files are read: what is replaced meanwhile is loaded at the next start
    let fingerprint = source.fingerprint()?;
    if !is_loaded_from(&path, &fingerprint)? {
        load(data_dir, &path, source, &fingerprint, stopping)?;
    }
    let warehouse = Warehouse::open(&path).map_err(|error| error.to_string())?;
    let datasets = count(&warehouse, source)?;
    Ok((warehouse.cached(cache), datasets))
}

/// Returns true if the file is there and was loaded from the source of this fingerprint.
fn is_loaded_from(path: &Path, fingerprint: &str) -> Result<bool, String> {
    if !path.exists() {
        return Ok(false);
    }
    let warehouse = Warehouse::open(path).map_err(|error| error.to_string())?;
    let loaded_from = rows(&warehouse, "SELECT source FROM load_info")
        .ok()
        .and_then(|mut rows| rows.pop());
    Ok(loaded_from.is_some_and(|row| row["source"] == fingerprint))
}

/// A load ends after the phase at which it finds the platform stopping, and begins anew at the next start.
fn load(
    data_dir: &Path,
    path: &Path,
    source: &Source,
    fingerprint: &str,
    stopping: &dyn Fn() -> bool,
) -> Result<(), String> {
    let mut run = Run::start("load");
    let draft = data_dir.join("warehouse.part.duckdb");
    let files = run.phase(Phase::Prepare, || {
        remove_draft(&draft)?;
        source.materialize(&data_dir.join("extract"))
    })?;
    let warehouse = Warehouse::open(&draft).map_err(|error| error.to_string())?;
    let dir = files.display().to_string().replace('\'', "''");
    for (table, phase, from) in TABLES {
        if stopping() {
            return Err("the platform stopped before the data was loaded".to_owned());
        }
        let sql = format!(
            "CREATE TABLE {table} AS SELECT * FROM {}",
            from.replace("{dir}", &dir)
        );
        run.phase(phase, || execute(&warehouse, &sql))?;
    }
    run.phase(Phase::Checkpoint, || {
        execute(
            &warehouse,
            &format!("CREATE TABLE load_info AS SELECT '{fingerprint}' AS source; CHECKPOINT"),
        )
    })?;
    drop(warehouse);
    std::fs::rename(&draft, path)
        .map_err(|error| format!("cannot rename {} into place: {error}", draft.display()))?;
    remove_draft(&draft)?;
    run.finish();
    Ok(())
}

fn execute(warehouse: &Warehouse, sql: &str) -> Result<(), String> {
    warehouse
        .execute_batch(sql)
        .map_err(|error| error.to_string())
}

/// Deletes what a load that died left behind.
fn remove_draft(draft: &Path) -> Result<(), String> {
    let beside = [".wal", ".version"].map(|end| format!("{}{end}", draft.display()));
    for left in beside.iter().map(Path::new).chain([draft]) {
        match std::fs::remove_file(left) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("cannot remove {}: {error}", left.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn rows(warehouse: &Warehouse, sql: &str) -> Result<Vec<Value>, String> {
    let batches = warehouse
        .query(sql, &params! {})
        .map_err(|error| error.to_string())?;
    rows_of(&batches)
}

fn count(warehouse: &Warehouse, source: &Source) -> Result<Vec<Dataset>, String> {
    TABLES
        .iter()
        .map(|(table, _, _)| {
            let sql = format!("SELECT count(*) AS rows FROM {table}");
            let rows = rows(warehouse, &sql)?;
            Ok(Dataset {
                name: (*table).to_owned(),
                rows: rows
                    .first()
                    .and_then(|row| row["rows"].as_u64())
                    .unwrap_or(0),
                source: source.name().to_owned(),
            })
        })
        .collect()
}

/// Asks the warehouse through its cache and answers with what `shape` makes of the rows; `x-cache` says how, and the
/// tag stays until the data changes. For a client that has it already nothing is shaped.
pub async fn answer(
    platform: &Platform,
    request: &HeaderMap,
    sql: &'static str,
    bound: Params,
    shape: impl FnOnce(Vec<Value>) -> Value,
) -> Result<Response, Problem> {
    let Some(warehouse) = platform.warehouse() else {
        let why = platform.not_ready().unwrap_or_default();
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let asked = warehouse.query(sql, bound).keep().await;
    let result = asked.map_err(|error| failed(&error.to_string()))?;
    let validator = Validator::of(&result, "json/1");
    let mut response = if validator.is_current(request) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let rows = rows_of(result.batches()).map_err(|error| failed(&error))?;
        Json(shape(rows)).into_response()
    };
    response.headers_mut().extend(validator.headers().clone());
    Ok(response)
}

fn failed(why: &str) -> Problem {
    ops_layer::log::error!("query_failed", error = why);
    let detail = "the warehouse could not answer";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// The rows as JSON objects, `null` included.
pub fn rows_of(batches: &[RecordBatch]) -> Result<Vec<Value>, String> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, JsonArray>(Vec::new());
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let written = writer
        .write_batches(&batches)
        .and_then(|()| writer.finish());
    written.map_err(|error| error.to_string())?;
    let text = writer.into_inner();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}
