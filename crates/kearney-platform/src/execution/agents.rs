//! Work of the agents in each phase.

use std::sync::Arc;

use ops_layer::cache::params;
use serde_json::{Map, Value};

use super::run::Crew;
use crate::domain_metrics::{Agent, Phase};
use crate::error::{Error, Kind, Result};
use crate::orchestrator::{self, Content, Record};
use crate::registry::Dataset;
use crate::warehouse::{self, Load, TABLES, rows_of};

/// Queries for the facts about each table that are published with a result.
const PROFILES: [(&str, &str); 3] = [
    (
        "flights",
        "SELECT count(*) AS rows, min(date) AS first_departure, max(date) AS last_departure, \
         count(DISTINCT origin) AS origins, count(*) FILTER (delay IS NULL) AS without_delay FROM flights",
    ),
    (
        "airports",
        "SELECT count(*) AS rows, count(DISTINCT iata) AS codes, \
         count(*) FILTER (latitude IS NULL OR longitude IS NULL) AS without_place FROM airports",
    ),
    (
        "zipcodes",
        "SELECT count(*) AS rows, count(DISTINCT zip_code) AS codes FROM zipcodes",
    ),
];

/// Loads the warehouse, or only the tables whose files were replaced.
pub async fn ingest(crew: &Crew) -> Result<()> {
    let platform = &crew.platform;
    if platform.warehouse().is_none() {
        let found = {
            let platform = platform.clone();
            crew.blocking(move || warehouse::open_current(&platform.data_dir, &platform.source))
                .await?
        };
        match found {
            Some(warehouse) => platform.set_warehouse(warehouse),
            None => return load(crew).await,
        }
    }
    for table in &TABLES {
        let refresh = || {
            let platform = platform.clone();
            crew.blocking(move || {
                let warehouse = platform.loaded_warehouse()?.engine();
                warehouse::refresh(warehouse, table, &platform.data_dir, &platform.source)
            })
        };
        crew.attempt(table.loader, Phase::Ingest, refresh).await?;
    }
    Ok(())
}

async fn load(crew: &Crew) -> Result<()> {
    let platform = &crew.platform;
    let begun = {
        let platform = platform.clone();
        crew.blocking(move || Load::begin(&platform.data_dir, &platform.source))
            .await?
    };
    let load = Arc::new(begun);
    for table in &TABLES {
        let one = || {
            let (load, platform) = (load.clone(), platform.clone());
            crew.blocking(move || load.table(table, &platform.source))
        };
        crew.attempt(table.loader, Phase::Ingest, one).await?;
    }
    let load =
        Arc::into_inner(load).ok_or_else(|| Error::new(Kind::Run, "a loader is still running"))?;
    platform.set_warehouse(crew.blocking(move || load.finish()).await?);
    Ok(())
}

/// Returns the facts about each table.
pub async fn profile(crew: &Crew) -> Result<Value> {
    crew.attempt(Agent::Profiler, Phase::Profile, || async {
        let mut profile = Map::new();
        for (table, sql) in PROFILES {
            let row = query(crew, sql).await?.into_iter().next();
            profile.insert(table.to_owned(), row.unwrap_or_default());
        }
        Ok(Value::Object(profile))
    })
    .await
}

/// Returns the rows of the analysis.
pub async fn analyze(crew: &Crew, sql: &'static str) -> Result<Vec<Value>> {
    crew.attempt(Agent::Analyst, Phase::Analyze, || query(crew, sql))
        .await
}

/// Writes the result, and registers it with the state of the tables.
pub async fn publish(
    crew: &Crew,
    record: &Record,
    profile: Value,
    rows: Option<Vec<Value>>,
) -> Result<Option<Dataset>> {
    let work = Arc::new((record.clone(), profile, rows));
    crew.attempt(Agent::Publisher, Phase::Publish, || {
        let (platform, work) = (crew.platform.clone(), work.clone());
        crew.blocking(move || {
            let (record, profile, rows) = &*work;
            platform.register_tables()?;
            let Some(rows) = rows else { return Ok(None) };
            let content = Content {
                record,
                source: platform.source.name(),
                profile,
                rows,
            };
            let register = |dataset| platform.publish(dataset);
            orchestrator::publish(&platform.data_dir, &content, register).map(Some)
        })
    })
    .await
}

/// Queries through the cache; the engine is interrupted if the run ends meanwhile.
async fn query(crew: &Crew, sql: &str) -> Result<Vec<Value>> {
    let asked = crew.platform.loaded_warehouse()?.query(sql, params! {});
    let result = asked.await.map_err(|error| {
        Error::new(Kind::Warehouse, "the warehouse query failed").because(error)
    })?;
    rows_of(result.batches())
}
