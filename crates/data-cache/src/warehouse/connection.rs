//! One statement on one connection.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use duckdb::Connection;

use crate::error::Error;
use crate::params::{Params, Value};

/// Runs one query, in a transaction that cannot write; a panic of the driver becomes an error.
pub(super) fn run(
    connection: &Connection,
    sql: &str,
    params: &Params,
) -> Result<Vec<RecordBatch>, Error> {
    let work = AssertUnwindSafe(|| {
        connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
        fetch(connection, sql, params)
    });
    let result = catch_unwind(work);
    let _ = connection.execute_batch("ROLLBACK");
    match result {
        Ok(result) => result.map_err(|error| Error::engine(error.to_string())),
        Err(_) => Err(Error::engine("the DuckDB driver panicked on this result")),
    }
}

/// Runs statements that write. A transaction that they leave open is rolled back.
pub(super) fn execute(connection: &Connection, batch: &str) -> Result<(), Error> {
    let work = AssertUnwindSafe(|| connection.execute_batch(batch));
    let done = catch_unwind(work)
        .map_err(|_| Error::engine("the DuckDB driver panicked on this batch"))?
        .map_err(|error| Error::engine(error.to_string()));
    // the driver's `is_autocommit` says yes whatever happened; a rollback succeeds only where there is a transaction
    if connection.execute_batch("ROLLBACK").is_err() {
        return done;
    }
    done.and_then(|()| {
        Err(Error::engine(
            "the batch left a transaction open; rolled back",
        ))
    })
}

fn fetch(connection: &Connection, sql: &str, params: &Params) -> duckdb::Result<Vec<RecordBatch>> {
    let mut statement = connection.prepare(sql)?;
    let mut used = 0;
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index)?;
        let value = params
            .0
            .get(&name)
            .ok_or_else(|| duckdb::Error::InvalidParameterName(format!("no value for ${name}")))?;
        statement.raw_bind_parameter(index, bound(value))?;
        used += 1;
    }
    if used < params.0.len() {
        return Err(duckdb::Error::InvalidParameterCount(params.0.len(), used));
    }
    statement.raw_execute()?;
    let schema = statement.schema();
    let mut batches = Vec::new();
    while let Some(rows) = statement.step()? {
        batches.push(
            RecordBatch::try_new(schema.clone(), rows.columns().to_vec())
                .map_err(|error| duckdb::Error::ToSqlConversionFailure(Box::new(error)))?,
        );
    }
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

fn bound(value: &Value) -> duckdb::types::Value {
    use duckdb::types::{TimeUnit, Value as Duck};
    match value {
        Value::Null => Duck::Null,
        Value::Bool(value) => Duck::Boolean(*value),
        Value::Int32(value) => Duck::Int(*value),
        Value::Int64(value) => Duck::BigInt(*value),
        Value::UInt64(value) => Duck::UBigInt(*value),
        Value::Double(value) => Duck::Double(*value),
        Value::Text(value) => Duck::Text(value.clone()),
        Value::Blob(value) => Duck::Blob(value.clone()),
        Value::Date(days) => Duck::Date32(*days),
        Value::Timestamp(micros) => Duck::Timestamp(TimeUnit::Microsecond, *micros),
    }
}
