//! `requests_by_hour` and `requests_by_minute`: counts from the footers, or from the rows of files without them.

use duckdb::{Appender, Connection, params};

use super::tables::rows_of;
use crate::Table;
use crate::error::Error;
use crate::file::directory::Found;
use crate::file::name::{HOUR_US, MINUTE_US};
use crate::file::requests::Requests;
use crate::file::stored::Stored;
use crate::table::REQUEST;

/// Name of a view, name of its first column, and length of the interval that a row covers.
const VIEWS: [(&str, &str, i64); 2] = [
    ("requests_by_hour", "hour", HOUR_US),
    ("requests_by_minute", "minute", MINUTE_US),
];

/// Creates the views that the statement names, and only those: a day has many minutes.
pub(super) fn create(connection: &Connection, files: &[Found], sql: &str) -> Result<(), Error> {
    let sql = sql.to_ascii_lowercase();
    for (view, column, length) in VIEWS.iter().filter(|(view, ..)| sql.contains(view)) {
        create_view(connection, files, view, column, *length)
            .map_err(|error| Error::statement(error.to_string()))?;
    }
    Ok(())
}

fn create_view(
    connection: &Connection,
    files: &[Found],
    view: &str,
    column: &str,
    length: i64,
) -> duckdb::Result<()> {
    let table = format!("counted_{view}");
    connection.execute_batch(&format!(
        "CREATE TABLE {table} (start BIGINT, method VARCHAR, route VARCHAR, status BIGINT, duration_us BIGINT, requests BIGINT, \
         service VARCHAR, instance VARCHAR, run BIGINT)"
    ))?;
    let mut uncounted = Vec::new();
    let mut rows = connection.appender(&table)?;
    for one in files.iter().filter(|one| one.name.table == Table::Logs) {
        // if the file was removed meanwhile, reading its rows fails
        let requests = Stored::open(one).ok().and_then(|stored| stored.requests());
        match requests {
            Some(requests) if length == HOUR_US => append(&mut rows, one, &requests.of_hour())?,
            Some(requests) => append(&mut rows, one, &requests)?,
            None => uncounted.push(one),
        }
    }
    rows.flush()?;
    let mut sql = format!(
        "CREATE VIEW {view} AS SELECT make_timestamp(start) AS {column}, method AS http_request_method, route AS http_route, \
         status AS http_response_status_code, duration_us, duration_us / 1000.0 AS duration_ms, requests, \
         service AS service_name, instance AS service_instance_id, run FROM {table}"
    );
    if !uncounted.is_empty() {
        sql += &format!(
            " UNION ALL SELECT make_timestamp(epoch_us(timestamp) // {length} * {length}), http_request_method, http_route, \
             http_response_status_code, duration_us, duration_us / 1000.0, count(*), service_name, service_instance_id, run \
             FROM {} WHERE body = '{REQUEST}' GROUP BY ALL",
            rows_of(uncounted)
        );
    }
    connection.execute_batch(&sql)
}

fn append(rows: &mut Appender<'_>, file: &Found, requests: &Requests<'_>) -> duckdb::Result<()> {
    let instance = format!("{:016x}", file.name.instance);
    let run = i64::try_from(file.name.run).unwrap_or(i64::MAX);
    for (group, bucket) in requests.groups() {
        let start = file.name.hour * HOUR_US + group.minute * MINUTE_US;
        let count = i64::try_from(bucket.requests).unwrap_or(i64::MAX);
        rows.append_row(params![
            start,
            group.method.as_deref(),
            group.route.as_deref(),
            group.status,
            bucket.duration_us,
            count,
            requests.service,
            instance,
            run
        ])?;
    }
    Ok(())
}
