//! Threads that own one DuckDB connection each and take jobs from one queue.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use arrow::array::RecordBatch;
use duckdb::Connection;
use parking_lot::Mutex;

use crate::error::Error;
use crate::params::{Params, Value};

pub(crate) type Job = Box<dyn FnOnce(&Connection) + Send>;

pub(crate) struct Workers(Sender<Job>);

impl Workers {
    pub(crate) fn start(connections: Vec<Connection>) -> Result<Self, Error> {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for connection in connections {
            let receiver = receiver.clone();
            let named = std::thread::Builder::new().name("data-cache-duckdb".to_owned());
            let started = named.spawn(move || serve(&connection, &receiver));
            started.map_err(|error| Error::io(format!("cannot start a DuckDB thread: {error}")))?;
        }
        Ok(Self(sender))
    }

    pub(crate) fn submit(&self, job: Job) -> Result<(), Error> {
        self.0
            .send(job)
            .map_err(|_| Error::engine("the DuckDB threads have stopped"))
    }
}

fn serve(connection: &Connection, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().recv();
        let Ok(job) = job else { return };
        job(connection);
    }
}

/// Runs one statement; a panic of the driver becomes an error.
pub(crate) fn run(
    connection: &Connection,
    sql: &str,
    params: &Params,
) -> Result<Vec<RecordBatch>, Error> {
    let work = std::panic::AssertUnwindSafe(|| fetch(connection, sql, params));
    match std::panic::catch_unwind(work) {
        Ok(result) => result.map_err(|error| Error::engine(error.to_string())),
        Err(_) => Err(Error::engine("the DuckDB driver panicked on this result")),
    }
}

fn fetch(connection: &Connection, sql: &str, params: &Params) -> duckdb::Result<Vec<RecordBatch>> {
    let mut statement = connection.prepare(sql)?;
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index)?;
        let value = params
            .0
            .get(&name)
            .ok_or_else(|| duckdb::Error::InvalidParameterName(name.clone()))?;
        statement.raw_bind_parameter(index, bound(value))?;
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
    use duckdb::types::Value as Duck;
    match value {
        Value::Null => Duck::Null,
        Value::Bool(value) => Duck::Boolean(*value),
        Value::Int32(value) => Duck::Int(*value),
        Value::Int64(value) => Duck::BigInt(*value),
        Value::Double(value) => Duck::Double(*value),
        Value::Text(value) => Duck::Text(value.clone()),
        Value::Blob(value) => Duck::Blob(value.clone()),
    }
}
