//! Warehouse: loaded completely or not at all, and updated table by table.

use std::path::{Path, PathBuf};

use arrow::json::writer::{JsonArray, WriterBuilder};
use ops_layer::cache::arrow::array::RecordBatch;
use ops_layer::cache::{Warehouse, params};
use serde_json::Value;

use crate::datasets::Source;
use crate::domain_metrics::Agent;
use crate::error::{Error, Kind, Result};
use crate::files::Draft;
use crate::registry::Dataset;

/// A table of the warehouse.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    file: &'static str,
    /// DuckDB function that reads the file; `{}` is its path. Column types are explicit: an inferred type would change
    /// with one odd cell, and the queries of the API with it. A folder such as `state=CA` in the path does not become a
    /// column.
    from: &'static str,
    pub loader: Agent,
}

pub static TABLES: [Table; 3] = [
    Table {
        name: "flights",
        file: "flights-3m.parquet",
        from: "read_parquet('{}', hive_partitioning = false)",
        loader: Agent::FlightsLoader,
    },
    Table {
        name: "airports",
        file: "airports.csv",
        from: "read_csv('{}', hive_partitioning = false, types = {'iata': 'VARCHAR', 'name': 'VARCHAR', 'city': 'VARCHAR', \
               'state': 'VARCHAR', 'country': 'VARCHAR', 'latitude': 'DOUBLE', 'longitude': 'DOUBLE'})",
        loader: Agent::AirportsLoader,
    },
    Table {
        name: "zipcodes",
        file: "zipcodes.csv",
        from: "read_csv('{}', hive_partitioning = false, types = {'zip_code': 'VARCHAR', 'latitude': 'DOUBLE', \
               'longitude': 'DOUBLE', 'city': 'VARCHAR', 'state': 'VARCHAR', 'county': 'VARCHAR'})",
        loader: Agent::ZipcodesLoader,
    },
];

/// Opens the snapshot, or the warehouse of `data_dir`; `None` if it is missing, or was loaded from another source or
/// from files that were replaced since.
pub fn open_current(data_dir: &Path, source: &Source) -> Result<Option<Warehouse>> {
    if let Source::Snapshot(file) = source {
        let opened = Warehouse::open_snapshot(file);
        return opened.map(Some).map_err(|error| {
            let message = format!("cannot open the snapshot {}", file.display());
            Error::new(Kind::Warehouse, message).because(error)
        });
    }
    let path = file(data_dir);
    if !path.exists() {
        return Ok(None);
    }
    let warehouse = open(&path)?;
    for table in &TABLES {
        // before the files are read: one that is replaced meanwhile is loaded the next time
        if loaded_from(&warehouse, table) != Some(source.fingerprint(table.file)?) {
            return Ok(None);
        }
    }
    Ok(Some(warehouse))
}

/// A load in progress. It writes a draft, ends with a checkpoint, and renames the draft into place: a process that is
/// killed meanwhile leaves the draft, which the next one deletes.
#[derive(Debug)]
pub struct Load {
    /// Database in the draft; declared first, so that it is closed before the draft is deleted.
    warehouse: Warehouse,
    draft: Draft,
    files: PathBuf,
    data_dir: PathBuf,
}

impl Load {
    pub fn begin(data_dir: &Path, source: &Source) -> Result<Self> {
        let draft = Draft::beside(&file(data_dir));
        let files = source.materialize(&data_dir.join("extract"))?;
        let warehouse = open(draft.path())?;
        execute(
            &warehouse,
            "CREATE TABLE load_info (name VARCHAR, source VARCHAR)",
        )?;
        Ok(Self {
            warehouse,
            draft,
            files,
            data_dir: data_dir.to_owned(),
        })
    }

    /// Loads one table and returns the number of its rows.
    pub fn table(&self, table: &Table, source: &Source) -> Result<u64> {
        replace(&self.warehouse, table, &self.files, source)?;
        count_of(&self.warehouse, table)
    }

    /// Moves the file into place and opens it there.
    pub fn finish(self) -> Result<Warehouse> {
        execute(&self.warehouse, "CHECKPOINT")?;
        drop(self.warehouse);
        let path = file(&self.data_dir);
        let placed = self.draft.remove_beside();
        let placed = placed.and_then(|()| self.draft.commit());
        placed.map_err(|error| {
            let message = format!("cannot move the loaded warehouse to {}", path.display());
            Error::new(Kind::File, message).because(error)
        })?;
        open(&path)
    }
}

/// Reloads a table in one transaction if its file was replaced, and returns the number of its rows; a snapshot is never
/// changed.
pub fn refresh(
    warehouse: &Warehouse,
    table: &Table,
    data_dir: &Path,
    source: &Source,
) -> Result<u64> {
    let is_replaced = match source {
        Source::Snapshot(_) => false,
        _ => loaded_from(warehouse, table) != Some(source.fingerprint(table.file)?),
    };
    if is_replaced {
        let files = source.materialize(&data_dir.join("extract"))?;
        replace(warehouse, table, &files, source)?;
        ops_layer::log::info!("table_reloaded", table = table.name);
    }
    count_of(warehouse, table)
}

/// Returns the tables as entries of the registry.
pub fn describe(warehouse: &Warehouse, source: &Source) -> Result<Vec<Dataset>> {
    let described = TABLES.iter().map(|table| {
        Ok(Dataset {
            name: table.name.to_owned(),
            rows: count_of(warehouse, table)?,
            source: source.name().to_owned(),
            file: None,
        })
    });
    described.collect()
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("warehouse.duckdb")
}

fn open(path: &Path) -> Result<Warehouse> {
    Warehouse::open(path).map_err(|error| {
        let message = "cannot open the warehouse; stop the platform and delete its file, and the next start loads it again";
        Error::new(Kind::Warehouse, message).because(error)
    })
}

fn replace(warehouse: &Warehouse, table: &Table, files: &Path, source: &Source) -> Result<()> {
    let quoted = |text: &str| text.replace('\'', "''");
    let fingerprint = quoted(&source.fingerprint(table.file)?);
    // DuckDB would take the path as a pattern
    let path = files.join(table.file).display().to_string();
    let path = path
        .replace('[', "[[]")
        .replace('*', "[*]")
        .replace('?', "[?]");
    let path = quoted(&path);
    let (name, from) = (table.name, table.from.replace("{}", &path));
    let batch = format!(
        "BEGIN; CREATE OR REPLACE TABLE {name} AS SELECT * FROM {from}; \
         SELECT CASE WHEN count(*) = 0 THEN error('the file has no rows') END FROM {name}; \
         DELETE FROM load_info WHERE name = '{name}'; \
         INSERT INTO load_info VALUES ('{name}', '{fingerprint}'); COMMIT"
    );
    execute(warehouse, &batch)
        .map_err(|error| Error::new(Kind::Warehouse, format!("cannot load {name}")).because(error))
}

fn execute(warehouse: &Warehouse, sql: &str) -> Result<()> {
    warehouse
        .execute_batch(sql)
        .map_err(|error| Error::new(Kind::Warehouse, "a statement failed").because(error))
}

/// Returns the fingerprint of the source of a table; `None` also if an older version of this program wrote the file.
fn loaded_from(warehouse: &Warehouse, table: &Table) -> Option<String> {
    let bound = params! { name: table.name };
    let sql = "SELECT source FROM load_info WHERE name = $name";
    let rows = rows_of(&warehouse.query(sql, &bound).ok()?).ok()?;
    Some(rows.first()?["source"].as_str()?.to_owned())
}

fn count_of(warehouse: &Warehouse, table: &Table) -> Result<u64> {
    let name = table.name;
    let failed = |message: &str| Error::new(Kind::Warehouse, format!("{name} {message}"));
    let counted = warehouse.query(&format!("SELECT count(*) AS rows FROM {name}"), &params! {});
    let counted = counted.map_err(|error| failed("cannot be counted").because(error))?;
    match rows_of(&counted)?
        .first()
        .and_then(|row| row["rows"].as_u64())
    {
        Some(rows) if rows > 0 => Ok(rows),
        _ => Err(failed("has no rows")),
    }
}

/// Returns the rows as JSON objects, including `null` values.
pub fn rows_of(batches: &[RecordBatch]) -> Result<Vec<Value>> {
    let failed = || Error::new(Kind::Warehouse, "cannot convert the result to JSON");
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, JsonArray>(Vec::new());
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let written = writer
        .write_batches(&batches)
        .and_then(|()| writer.finish());
    written.map_err(|error| failed().because(error))?;
    let text = writer.into_inner();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&text).map_err(|error| failed().because(error))
}
