//! One statement on one connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use duckdb::Connection;

use super::interrupt::Interrupt;
use super::profile::Paces;
use super::tree;
use crate::error::Error;
use crate::params::{Params, Value};
use crate::profile::Profile;
use crate::sql;

/// Runs one query in a read-only transaction; a panic of the driver becomes an error. Ends `interrupt`.
pub(super) fn run(
    connection: &Connection,
    sql: &str,
    params: &Params,
    paces: &Paces,
    slow: Duration,
    interrupt: &Interrupt,
) -> Result<(Vec<RecordBatch>, Option<Profile>), Error> {
    refuse_more_than_one(connection, sql).inspect_err(|_| interrupt.end())?;
    let work = AssertUnwindSafe(|| {
        let timed = paces.begin(connection, sql, slow);
        connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
        let (batches, planning) = fetch(connection, sql, params)?;
        Ok::<_, duckdb::Error>((batches, timed.end(connection, planning)))
    });
    let result = catch_unwind(work);
    // the rollback must not be interrupted, but may receive an interrupt that the query did not notice
    interrupt.end();
    if connection.execute_batch("ROLLBACK").is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    match result {
        Ok(result) => result.map_err(|error| Error::engine(error.to_string())),
        Err(_) => Err(Error::engine("the DuckDB driver panicked on this result")),
    }
}

/// Runs statements that write. If they leave a transaction open, it is rolled back and an error returned.
pub(super) fn execute(connection: &Connection, batch: &str) -> Result<(), Error> {
    let work = AssertUnwindSafe(|| connection.execute_batch(batch));
    let done = catch_unwind(work)
        .map_err(|_| Error::engine("the DuckDB driver panicked on this batch"))?
        .map_err(|error| Error::engine(error.to_string()));
    // the driver's `is_autocommit` always returns true; a rollback succeeds only within a transaction
    if connection.execute_batch("ROLLBACK").is_err() {
        return done;
    }
    done.and_then(|()| {
        Err(Error::engine(
            "the batch left a transaction open, which was rolled back",
        ))
    })
}

/// Fails unless the text holds one statement, since the driver runs everything before the last statement. If the lexer
/// cannot separate the statements, the engine counts them.
fn refuse_more_than_one(connection: &Connection, sql: &str) -> Result<(), Error> {
    if sql::statements(sql).is_ok() || tree::count_of_selects(connection, sql) == Some(1) {
        return Ok(());
    }
    Err(Error::input(
        "cannot determine where this statement ends: it contains an unterminated literal, a NUL, a Unicode escape or a non-ASCII space",
    ))
}

/// Returns the result, and the time that it took to plan the statement.
fn fetch(
    connection: &Connection,
    sql: &str,
    params: &Params,
) -> duckdb::Result<(Vec<RecordBatch>, Duration)> {
    let clock = Instant::now();
    let mut statement = connection.prepare(sql)?;
    let planning = clock.elapsed();
    let mut used = 0;
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index)?;
        let value = params
            .0
            .get(&name)
            .ok_or_else(|| duckdb::Error::InvalidParameterName(format!("no value for ${name}")))?;
        statement.raw_bind_parameter(index, bound(value)?)?;
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
    Ok((batches, planning))
}

fn bound(value: &Value) -> duckdb::Result<duckdb::types::Value> {
    use duckdb::types::{Decimal, TimeUnit, Value as Duck};
    Ok(match value {
        Value::Null => Duck::Null,
        Value::Bool(value) => Duck::Boolean(*value),
        Value::Int8(value) => Duck::TinyInt(*value),
        Value::Int16(value) => Duck::SmallInt(*value),
        Value::Int32(value) => Duck::Int(*value),
        Value::Int64(value) => Duck::BigInt(*value),
        Value::Int128(value) => Duck::HugeInt(*value),
        Value::UInt8(value) => Duck::UTinyInt(*value),
        Value::UInt16(value) => Duck::USmallInt(*value),
        Value::UInt32(value) => Duck::UInt(*value),
        Value::UInt64(value) => Duck::UBigInt(*value),
        Value::Float(value) => Duck::Float(*value),
        Value::Double(value) => Duck::Double(*value),
        Value::Text(value) => Duck::Text(value.clone()),
        Value::Blob(value) => Duck::Blob(value.clone()),
        Value::Date(days) => Duck::Date32(*days),
        Value::Time(micros) => Duck::Time64(TimeUnit::Microsecond, *micros),
        Value::Timestamp(micros) => Duck::Timestamp(TimeUnit::Microsecond, *micros),
        // the driver cannot bind it; the engine casts a text with its offset from UTC
        Value::TimestampTz(micros) => Duck::Text(utc_text(*micros)),
        Value::Interval {
            months,
            days,
            micros,
        } => Duck::Interval {
            months: *months,
            days: *days,
            nanos: micros
                .checked_mul(1000)
                .ok_or_else(|| unbindable("interval"))?,
        },
        Value::Decimal { unscaled, scale } => Duck::Decimal(
            Decimal::new(38, *scale, *unscaled).map_err(|_| unbindable("DECIMAL(38)"))?,
        ),
    })
}

fn unbindable(kind: &str) -> duckdb::Error {
    duckdb::Error::ToSqlConversionFailure(format!("a parameter is out of range for {kind}").into())
}

/// Formats a timestamp as `2024-01-31 12:00:00.000000+00`, in the proleptic Gregorian calendar.
fn utc_text(micros: i64) -> String {
    const DAY: i64 = 86_400_000_000;
    let (days, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    // <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (year, era) = match year {
        1.. => (year, ""),
        _ => (1 - year, " (BC)"),
    };
    let (seconds, micros) = (time / 1_000_000, time % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}{era} {hour:02}:{minute:02}:{second:02}.{micros:06}+00")
}
