use super::tables::literal;
use crate::error::Error;

/// A question that is asked often.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Named {
    /// Name.
    pub name: &'static str,
    /// Description of the answer.
    pub about: &'static str,
    /// Name of its argument; `None` if it has none.
    pub argument: Option<&'static str>,
    sql: &'static str,
}

impl Named {
    /// Returns the statement with its argument in it.
    ///
    /// # Errors
    ///
    /// Fails if an argument is missing, or there is one too many.
    pub fn sql(&self, argument: Option<&str>) -> Result<String, Error> {
        match (self.argument, argument) {
            (None, None) => Ok(self.sql.to_owned()),
            (Some(_), Some(value)) => Ok(self.sql.replace("$argument", &literal(value))),
            (Some(name), None) => {
                let query = self.name;
                Err(Error::statement(format!(
                    "{query} needs an argument: {name}"
                )))
            }
            (None, Some(_)) => Err(Error::statement(format!("{} takes no argument", self.name))),
        }
    }
}

/// Returns the question of this name.
pub fn named(name: &str) -> Option<&'static Named> {
    NAMED.iter().find(|named| named.name == name)
}

const fn plain(name: &'static str, about: &'static str, sql: &'static str) -> Named {
    Named {
        name,
        about,
        argument: None,
        sql,
    }
}

/// Questions that are asked often.
pub const NAMED: &[Named] = &[
    plain(
        "slowest-routes",
        "routes by hour, the slowest first: requests and latency in ms",
        "SELECT date_trunc('hour', timestamp) AS hour, http_request_method AS method, coalesce(http_route, '(unmatched)') AS route, \
         count(*) AS requests, round(approx_quantile(duration_ms, 0.5), 1) AS p50, round(approx_quantile(duration_ms, 0.95), 1) AS p95, \
         round(approx_quantile(duration_ms, 0.99), 1) AS p99, max(duration_ms) AS max FROM requests GROUP BY ALL ORDER BY p95 DESC, hour DESC",
    ),
    plain(
        "requests-by-hour",
        "requests, server errors and their share by hour",
        "SELECT date_trunc('hour', timestamp) AS hour, count(*) AS answered, \
         count(*) FILTER (http_response_status_code >= 500) AS server_errors, \
         round(100.0 * server_errors / answered, 3) AS percent FROM requests GROUP BY hour ORDER BY hour DESC",
    ),
    plain(
        "errors-by-cause",
        "lines of level error and critical by event and cause, the most frequent first",
        "SELECT body AS event, coalesce(error_type, http_response_status_code::VARCHAR, attributes ->> '$.error') AS cause, \
         scope_name AS logger, count(*) AS lines, min(timestamp) AS first, max(timestamp) AS last FROM logs \
         WHERE severity_number >= 17 GROUP BY ALL ORDER BY lines DESC",
    ),
    Named {
        name: "trace",
        about: "one trace: its spans and its lines, by time",
        argument: Some("the trace id, 32 hexadecimal digits"),
        sql: "SELECT timestamp, 'span' AS what, name, duration_ms, status_code AS status, span_id, parent_span_id, NULL AS attributes, \
              service_name FROM spans WHERE trace_id_bytes = from_hex($argument) UNION ALL \
              SELECT timestamp, severity_text, body, duration_ms, http_response_status_code::VARCHAR, span_id, NULL, attributes, \
              service_name FROM logs WHERE trace_id_bytes = from_hex($argument) ORDER BY timestamp",
    },
    plain(
        "slowest-requests",
        "requests with the longest latency, with their trace",
        "SELECT timestamp, http_request_method AS method, url_path AS path, http_response_status_code AS status, duration_ms, trace_id, \
         request_id FROM requests ORDER BY duration_us DESC LIMIT 20",
    ),
    plain(
        "slowest-spans",
        "spans by name, those with the most time in all first",
        "SELECT name, kind, count(*) AS spans, round(approx_quantile(duration_ms, 0.95), 1) AS p95, round(sum(duration_ms) / 1000, 1) AS \
         seconds, count(*) FILTER (status_code = 'error') AS failed FROM spans GROUP BY ALL ORDER BY seconds DESC",
    ),
    plain(
        "cache-misses",
        "growth of the cache's miss counters by reason",
        "SELECT name, attributes, sum(growth) AS misses FROM (SELECT name, attributes, service_instance_id, max(value) - min(value) AS \
         growth FROM metrics WHERE name LIKE 'cache_miss%' GROUP BY ALL) GROUP BY ALL ORDER BY misses DESC",
    ),
    plain(
        "loggers",
        "lines by logger, level and event, the most frequent first",
        "SELECT scope_name AS logger, severity_text AS level, body AS event, count(*) AS lines FROM logs GROUP BY ALL ORDER BY lines DESC",
    ),
    plain(
        "runs",
        "starts of the service: first and last line of each run",
        "SELECT service_name, run, service_instance_id, min(timestamp) AS first, max(timestamp) AS last, count(*) AS lines FROM logs \
         GROUP BY ALL ORDER BY first DESC",
    ),
    Named {
        name: "metric",
        about: "one metric by minute: smallest and largest value of each series",
        argument: Some("the name of the metric"),
        sql: "SELECT date_trunc('minute', timestamp) AS minute, attributes, min(coalesce(value, \"count\")) AS min, \
              max(coalesce(value, \"count\")) AS max FROM metrics WHERE name = $argument GROUP BY ALL ORDER BY minute DESC, attributes",
    },
];
