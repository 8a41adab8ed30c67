use super::tables::literal;
use crate::error::Error;

/// A predefined query.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Named {
    /// Name of the query.
    pub name: &'static str,
    /// Description of the result.
    pub about: &'static str,
    /// Description of the argument; `None` if there is none.
    pub argument: Option<&'static str>,
    sql: &'static str,
    /// Returns `true` if the argument is valid.
    accepts: fn(&str) -> bool,
}

/// Maximum number of characters of an argument in an error.
const MAX_SHOWN: usize = 40;

impl Named {
    /// Returns the statement with its argument inserted.
    ///
    /// # Errors
    ///
    /// Fails if the argument is missing, invalid or not expected.
    pub fn sql(&self, argument: Option<&str>) -> Result<String, Error> {
        match (self.argument, argument) {
            (None, None) => Ok(self.sql.to_owned()),
            (Some(_), Some(value)) if (self.accepts)(value) => {
                Ok(self.sql.replace("$argument", &literal(value)))
            }
            (Some(name), Some(value)) => {
                let value: String = value.chars().take(MAX_SHOWN).collect();
                Err(Error::statement(format!(
                    "invalid argument {value:?}, expected {name}"
                )))
            }
            (Some(name), None) => {
                let query = self.name;
                Err(Error::statement(format!(
                    "{query} requires an argument: {name}"
                )))
            }
            (None, Some(_)) => Err(Error::statement(format!("{} takes no argument", self.name))),
        }
    }
}

/// Returns the predefined query of this name.
pub fn named(name: &str) -> Option<&'static Named> {
    NAMED.iter().find(|named| named.name == name)
}

const fn without_argument(name: &'static str, about: &'static str, sql: &'static str) -> Named {
    Named {
        name,
        about,
        argument: None,
        sql,
        accepts: |_| false,
    }
}

fn is_trace_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_run(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|run| run >= 0)
}

/// Predefined queries.
pub const NAMED: &[Named] = &[
    without_argument(
        "slowest-routes",
        "routes by hour, slowest first: requests that have a log line, and latency in whole ms, rounded down, within 1 %",
        "WITH counted AS (SELECT hour, http_request_method AS method, coalesce(http_route, '(unmatched)') AS \
         route, duration_ms, sum(requests) AS n FROM requests_by_hour GROUP BY ALL), \
         ranked AS (SELECT *, sum(n) OVER (PARTITION BY hour, method, route ORDER BY duration_ms) AS upto, \
         sum(n) OVER (PARTITION BY hour, method, route) AS total FROM counted) \
         SELECT hour, method, route, any_value(total)::BIGINT AS requests, round(min(duration_ms) FILTER (upto >= total * 0.5), 1) AS p50, \
         round(min(duration_ms) FILTER (upto >= total * 0.95), 1) AS p95, round(min(duration_ms) FILTER (upto >= total * 0.99), 1) AS p99, \
         max(duration_ms) AS max FROM ranked GROUP BY hour, method, route ORDER BY p95 DESC, hour DESC",
    ),
    without_argument(
        "requests-by-hour",
        "requests that have a log line (level info), server errors and their share by hour",
        "SELECT hour, sum(requests)::BIGINT AS answered, \
         coalesce(sum(requests) FILTER (http_response_status_code >= 500), 0)::BIGINT AS server_errors, \
         round(100.0 * server_errors / answered, 3) AS percent FROM requests_by_hour GROUP BY hour ORDER BY hour DESC",
    ),
    without_argument(
        "errors-by-cause",
        "log lines of level error and critical by event and cause, most frequent first",
        "SELECT body AS event, coalesce(error_type, attributes ->> '$.grpc_status', http_response_status_code::VARCHAR, \
         attributes ->> '$.error') AS cause, \
         scope_name AS logger, count(*) AS lines, min(timestamp) AS first, max(timestamp) AS last FROM logs \
         WHERE severity_number >= 17 GROUP BY ALL ORDER BY lines DESC",
    ),
    Named {
        name: "trace",
        about: "one trace: its spans and log lines, by time",
        argument: Some("a trace id of 32 hexadecimal digits"),
        sql: "SELECT timestamp, 'span' AS what, name, duration_ms, status_code AS status, span_id, parent_span_id, NULL AS attributes, \
              service_name FROM spans WHERE trace_id_bytes = from_hex($argument) UNION ALL \
              SELECT timestamp, severity_text, body, duration_ms, http_response_status_code::VARCHAR, span_id, NULL, attributes, \
              service_name FROM logs WHERE trace_id_bytes = from_hex($argument) ORDER BY timestamp",
        accepts: is_trace_id,
    },
    without_argument(
        "slowest-requests",
        "requests with the highest latency, with their trace",
        "SELECT timestamp, http_request_method AS method, url_path AS path, http_response_status_code AS status, duration_ms, trace_id, \
         request_id FROM requests ORDER BY duration_us DESC LIMIT 20",
    ),
    without_argument(
        "slowest-spans",
        "spans by name, longest total time first",
        "SELECT name, kind, count(*) AS spans, round(approx_quantile(duration_ms, 0.95), 1) AS p95, round(sum(duration_ms) / 1000, 1) AS \
         seconds, count(*) FILTER (status_code = 'error') AS failed FROM spans GROUP BY ALL ORDER BY seconds DESC",
    ),
    without_argument(
        "cache-misses",
        "growth of the cache miss counters by reason",
        "SELECT name, attributes, sum(growth) AS misses FROM (SELECT name, attributes, service_instance_id, max(value) - min(value) AS \
         growth FROM metrics WHERE name LIKE 'cache_miss%' GROUP BY ALL) GROUP BY ALL ORDER BY misses DESC",
    ),
    without_argument(
        "loggers",
        "log lines by logger, level and event, most frequent first",
        "SELECT scope_name AS logger, severity_text AS level, body AS event, count(*) AS lines FROM logs GROUP BY ALL ORDER BY lines DESC",
    ),
    without_argument(
        "runs",
        "runs of the service: first and last line of each",
        "SELECT service_name, run, service_instance_id, min(timestamp) AS first, max(timestamp) AS last, count(*) AS lines FROM logs \
         GROUP BY ALL ORDER BY first DESC",
    ),
    Named {
        name: "metric",
        about: "one metric by minute: minimum and maximum of each series",
        argument: Some("a metric name"),
        sql: "SELECT date_trunc('minute', timestamp) AS minute, attributes, min(coalesce(value, \"count\")) AS min, \
              max(coalesce(value, \"count\")) AS max FROM metrics WHERE name = $argument GROUP BY ALL ORDER BY minute DESC, attributes",
        accepts: |_| true,
    },
    Named {
        name: "before-run",
        about: "the last 200 lines before a run, newest first",
        argument: Some("a run number"),
        sql: "SELECT epoch_ms(timestamp) AS at, severity_text AS level, scope_name AS logger, body AS event, request_id, trace_id, \
              http_request_method AS method, url_path AS path, http_response_status_code AS status, duration_ms, error_type, attributes, run \
              FROM last_lines WHERE run < $argument::BIGINT AND timestamp >= (SELECT max(timestamp) FROM last_lines WHERE \
              run < $argument::BIGINT) - INTERVAL 1 HOUR ORDER BY timestamp DESC LIMIT 200",
        accepts: is_run,
    },
    Named {
        name: "chart",
        about: "values every 10 s of an hour, or every minute of a day, as the admin page draws them",
        argument: Some("1h or 24h"),
        sql: include_str!("chart.sql"),
        accepts: |window| matches!(window, "1h" | "24h"),
    },
];
