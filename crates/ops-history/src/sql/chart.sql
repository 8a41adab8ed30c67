WITH settings AS (
  SELECT CASE $argument WHEN '24h' THEN 60 ELSE 10 END AS step, CASE $argument WHEN '24h' THEN 1440 ELSE 360 END AS points,
    epoch_us(now()) // 1000000 AS seconds
), samples AS (
  SELECT service_instance_id AS instance, epoch_us(timestamp) AS moment, name, value, attributes ->> '$.status' AS status,
    (attributes ->> '$.cache_type') = 'query' AS is_query, attributes ->> '$.route' AS route FROM metrics
  WHERE timestamp >= make_timestamp(epoch_us(now()) - CASE $argument WHEN '24h' THEN 86520 ELSE 3720 END * 1000000::BIGINT)
    AND name IN ('http_requests_total', 'http_response_failures_total', 'cache_hits_total', 'cache_misses_total',
      'process_cpu_seconds_total', 'process_resident_memory_bytes', 'http_requests_in_flight')
), totals AS (
  SELECT instance, moment,
    coalesce(sum(value) FILTER (name = 'http_requests_total'), 0) AS requests,
    coalesce(sum(value) FILTER (name = 'http_requests_total' AND status LIKE '5%' OR name = 'http_response_failures_total'), 0) AS errors,
    coalesce(sum(value) FILTER (name = 'cache_hits_total' AND is_query), 0) AS hits,
    coalesce(sum(value) FILTER (name = 'cache_misses_total' AND is_query), 0) AS misses,
    max(value) FILTER (name = 'process_cpu_seconds_total') AS cpu,
    max(value) FILTER (name = 'process_resident_memory_bytes') AS memory,
    max(value) FILTER (name = 'http_requests_in_flight') AS in_flight
  FROM samples WHERE route IS NULL OR route NOT IN ('/healthz', '/livez', '/readyz', '/metrics') GROUP BY ALL
), growth AS (
  SELECT moment AS upto, lag(moment) OVER run AS since, requests - lag(requests) OVER run AS requests,
    errors - lag(errors) OVER run AS errors, hits - lag(hits) OVER run AS hits, misses - lag(misses) OVER run AS misses,
    cpu - lag(cpu) OVER run AS cpu, memory, in_flight
  FROM totals WINDOW run AS (PARTITION BY instance ORDER BY moment)
), bins AS (
  SELECT (seconds // step * step - step * range) * 1000000 AS upto, step * 1000000 AS took FROM settings, range(1440)
  WHERE range < points
), shares AS ( -- splits the growth between two samples among the bins that it overlaps
  SELECT bins.upto // 1000000 AS second, growth.upto AS sampled, memory, in_flight,
    (least(bins.upto, growth.upto) - greatest(bins.upto - took, since)) / 1e6 AS seconds,
    seconds * 1e6 / (growth.upto - since) AS part,
    requests * part AS requests, errors * part AS errors, hits * part AS hits, misses * part AS misses, cpu * part AS cpu
  FROM bins JOIN growth ON growth.upto > bins.upto - took AND since < bins.upto WHERE growth.upto - since BETWEEN 1 AND 120000000
), points AS (
  SELECT second, sum(requests) AS counted, counted / sum(seconds) AS requests_per_second, least(sum(errors), counted) / nullif(counted, 0) AS error_ratio,
    sum(hits) / nullif(sum(hits + misses), 0) AS cache_hit_ratio, arg_max(in_flight, sampled) AS requests_in_flight,
    arg_max(memory, sampled) AS resident_memory_bytes, sum(cpu) / sum(seconds) AS cpu_cores
  FROM shares GROUP BY ALL
), counted AS (
  SELECT minute, duration_us, sum(requests) AS n FROM requests_by_minute
  WHERE duration_us IS NOT NULL AND (http_route IS NULL OR http_route NOT IN ('/healthz', '/livez', '/readyz', '/metrics')) GROUP BY ALL
), ranked AS (
  SELECT *, sum(n) OVER (PARTITION BY minute ORDER BY duration_us) AS upto, sum(n) OVER (PARTITION BY minute) AS total FROM counted
), latency AS (
  -- latencies of lines are whole milliseconds: below one they are unknown
  SELECT epoch_us(minute) // 60000000 AS minute, any_value(total) AS total,
    nullif(min(duration_us) FILTER (upto >= total * 0.5), 0) / 1e6 AS p50,
    nullif(min(duration_us) FILTER (upto >= total * 0.95), 0) / 1e6 AS p95,
    nullif(min(duration_us) FILTER (upto >= total * 0.99), 0) / 1e6 AS p99
  FROM ranked GROUP BY ALL
), known AS ( -- if most requests have no line, those that have one are not representative
  SELECT points.*, CASE WHEN latency.total >= 0.25 * sum(counted) OVER (PARTITION BY latency.minute) THEN latency END AS latency
  FROM points LEFT JOIN latency ON (second - 1) // 60 = latency.minute -- a bin ends at its second
)
SELECT second AS "at", requests_per_second, error_ratio, latency.p50 AS p50_seconds, latency.p95 AS p95_seconds,
  latency.p99 AS p99_seconds, cache_hit_ratio, requests_in_flight, resident_memory_bytes, cpu_cores
FROM known ORDER BY second
