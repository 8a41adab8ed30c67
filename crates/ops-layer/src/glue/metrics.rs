use std::sync::atomic::Ordering::Relaxed;

use ops_metrics::Window;

use crate::findings::snapshot::{Metrics as Seen, Overflow, STAYS_SLOW, SlowRoute};
use crate::{Config, Error, limited};

pub(crate) use ops_metrics::Config as Settings;
pub(crate) use ops_metrics::http::{ClientMetrics as ClientObserver, RedMetrics as Observer};

/// Starts metrics, with the running build.
pub(crate) fn start(config: &Config) -> Result<(), Error> {
    let mut settings = config.metrics.clone().unwrap_or_default();
    if let Some([version, revision, compiler]) = config.build {
        settings = settings.build_info(version, revision, compiler);
    }
    ops_metrics::init(settings).map_err(|error| Error::new("metrics", error))?;
    describe();
    Ok(())
}

pub(crate) fn client_observer() -> ClientObserver {
    ClientObserver::new()
}

/// Status under which requests are counted whose client went away.
const GIVEN_UP: &str = "499";

/// Status of the response if the handler panicked.
const PANICKED: &str = "500";
/// Kinds of failures without such a status that a panic causes: after the head, or in a gRPC call.
const AS_PANIC: [&str; 3] = ["panic", "UNKNOWN", "INTERNAL"];

/// Reads the numbers that the sampler of the metrics keeps up to date.
pub(crate) fn look() -> Option<Seen> {
    use ops_metrics::catalog as c;
    let every = |_: &[&str]| true;
    let route = |labels: &[&str]| {
        labels
            .first()
            .is_some_and(|route| !ops_http::is_quiet(route))
    };
    let failed = |labels: &[&str]| {
        let status = labels.last();
        route(labels) && status.is_some_and(|status| status.starts_with('5'))
    };
    let total = |family: &ops_metrics::Family| family.total(every);
    let requests = c::http_requests_total::family();
    let overflows = ops_metrics::overflows().into_iter();
    let mut errors = requests.totals_by(|labels| match labels {
        [route, method, ..] if failed(labels) => Some(format!("{method} {route}")),
        _ => None,
    });
    // their status does not show the failure: each is counted in only one of the two
    let without_status =
        c::http_response_failures_total::family().totals_by(|labels| match labels {
            [name, method, ..] if route(labels) => Some(format!("{method} {name}")),
            _ => None,
        });
    for (route, count) in without_status {
        *errors.entry(route).or_insert(0.0) += count;
    }
    let with_500 = requests.total(|labels| route(labels) && labels.last() == Some(&PANICKED));
    let as_panic = c::http_response_failures_total::family().total(|labels| {
        let kind = labels.last();
        route(labels) && kind.is_some_and(|kind| AS_PANIC.contains(kind))
    });
    let of_routes = requests.totals_by(|labels| match labels {
        [name, method, ..] if route(labels) => Some(format!("{method} {name}")),
        _ => None,
    });
    let given_up = requests.totals_by(|labels| match labels {
        [name, method, status] if *status == GIVEN_UP && route(labels) => {
            Some(format!("{method} {name}"))
        }
        _ => None,
    });
    Some(Seen {
        refused: limited::REFUSED.load(Relaxed),
        late: limited::LATE.load(Relaxed),
        requests: requests.total(route).unwrap_or(0.0),
        requests_by_route: of_routes.into_iter().collect(),
        server_errors: errors.values().sum(),
        internal_errors: Some(with_500.unwrap_or(0.0) + as_panic.unwrap_or(0.0)),
        errors_by_route: errors
            .into_iter()
            .filter(|(_, count)| *count > 0.0)
            .collect(),
        given_up_by_route: given_up.into_iter().collect(),
        slow_routes: slow_routes(),
        panics: ops_metrics::panics() as f64,
        open_fds: total(c::process_open_fds::family()),
        max_fds: total(c::process_max_fds::family()),
        memory: total(c::cgroup_memory_working_set_bytes::family()),
        memory_limit: total(c::cgroup_memory_limit_bytes::family()),
        oom_kills: total(c::cgroup_oom_kills_total::family()),
        cpu_limit: total(c::cgroup_cpu_limit_cores::family()),
        cpu_periods: total(c::cgroup_cpu_periods_total::family()),
        throttled_periods: total(c::cgroup_cpu_throttled_periods_total::family()),
        throttled_seconds: total(c::cgroup_cpu_throttled_seconds_total::family()),
        overflows: overflows
            .map(|overflow| Overflow {
                metric: overflow.metric,
                label: overflow.label,
                count: overflow.count,
                example: overflow.examples.into_iter().next().unwrap_or_default(),
            })
            .collect(),
    })
}

/// Minimum number of requests of a route for a meaningful percentile.
const REQUESTS: u64 = 20;

fn slow_routes() -> Vec<SlowRoute> {
    let mut slow = Vec::new();
    for one in ops_metrics::routes_over(Window::FiveMinutes) {
        let p95 = one.latency.quantile(0.95).unwrap_or(0.0);
        if one.requests >= REQUESTS && p95 >= STAYS_SLOW {
            slow.push(((one.route, one.method), one.requests, p95));
        }
    }
    if slow.is_empty() {
        return Vec::new();
    }
    let hour = ops_metrics::routes_over(Window::Hour);
    let usual = |route: (&str, &str)| {
        let mut all = hour.iter();
        let known = all.find(|one| (one.route, one.method) == route);
        let latency = &known?.latency;
        Some((latency.quantile(0.5)?, latency.quantile(0.95)?))
    };
    let route = |((name, method), requests, p95)| {
        let (usual, usual_p95) = usual((name, method)).unwrap_or((p95, p95));
        SlowRoute {
            route: format!("{method} {name}"),
            requests,
            p95,
            usual,
            usual_p95,
            waits_for_queries: None,
        }
    };
    slow.into_iter().map(route).collect()
}

/// Returns the newest number of each sparkline that has one.
#[cfg(feature = "black-box")]
pub(crate) fn newest() -> std::collections::BTreeMap<&'static str, f64> {
    let lines = ops_metrics::sparklines().into_iter();
    let newest = lines.filter_map(|line| Some((line.name, line.points.last().copied()??)));
    newest.collect()
}

/// Offers one sample of each series that a scrape would show to the history.
#[cfg(feature = "history")]
pub(crate) fn sample_to(history: &ops_history::History, at: std::time::SystemTime) {
    use ops_history::SampleValue;
    use ops_metrics::Reading;
    // before metrics are installed there are none
    let _ = ops_metrics::read(&mut |series| {
        let definition = series.definition;
        let value = match series.value {
            Reading::Counter(total) => SampleValue::Sum(total as f64),
            Reading::Seconds(total) => SampleValue::Sum(total),
            Reading::Gauge(value) => SampleValue::Gauge(value),
            Reading::Histogram {
                bounds,
                counts,
                sum,
            } => SampleValue::Histogram {
                bounds: bounds.to_vec(),
                counts: counts.to_vec(),
                sum,
            },
            _ => return,
        };
        let labels: std::collections::BTreeMap<_, _> = series.labels.iter().copied().collect();
        let attributes = match labels.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&labels).unwrap_or_default(),
        };
        history.sample(ops_history::Sample {
            at,
            name: definition.name,
            unit: match definition.unit() {
                "seconds" => "s",
                "bytes" => "By",
                _ => "",
            },
            attributes: super::log::scrubbed(attributes),
            value,
        });
    });
}

pub(crate) fn observer() -> Observer {
    let variable = "OPS_METRICS_SEMANTIC_NAMES";
    let value = std::env::var_os(variable).unwrap_or_default();
    let value = value.to_string_lossy();
    // a file of variables may have other line endings
    let value = value.trim();
    let is_on = value.eq_ignore_ascii_case("true");
    if !is_on && !value.is_empty() && !value.eq_ignore_ascii_case("false") {
        tracing::warn!(target: "ops_layer", variable, %value, accepted = "true, false", "variable_refused");
    }
    Observer::new().semantic_names(is_on)
}

/// Help texts of the totals that the parts publish.
const COUNTERS: [(&str, &str); 26] = [
    (
        "cache_bypass_total",
        "Queries that bypassed the cache, by reason",
    ),
    (
        "cache_miss_reason_total",
        "Lookups that missed the cache, by reason",
    ),
    ("log_events_total", "Log lines by level"),
    (
        "log_late_lines_total",
        "Log lines that were held back for a request, by outcome: written because it failed or was slow, dropped, or truncated",
    ),
    (
        "log_lines_dropped_total",
        "Log lines that a sink did not accept",
    ),
    (
        "log_lines_suppressed_total",
        "Log lines that were not written because of a rate limit",
    ),
    (
        "log_lines_unsampled_total",
        "Log lines that were not written because their trace is not sampled",
    ),
    (
        "log_lines_written_total",
        "Log lines that every sink accepted",
    ),
    (
        "log_value_errors_total",
        "Log values that panicked or failed while they were formatted",
    ),
    (
        "log_values_truncated_total",
        "Log values that were truncated, and fields that were dropped, because of limits on length or number",
    ),
    (
        "otlp_dropped_total",
        "Log lines and metric data points that were dropped, by signal and reason",
    ),
    (
        "otlp_export_failures_total",
        "Exports of log lines and metrics that failed",
    ),
    (
        "otlp_exported_total",
        "Log lines and metric data points that the collector accepted",
    ),
    (
        "otlp_rejected_total",
        "Log lines and metric data points that the collector rejected",
    ),
    (
        "secrets_backend_requests_total",
        "Requests to secret sources",
    ),
    (
        "secrets_cache_hits_total",
        "Secret lookups that hit the cache",
    ),
    (
        "secrets_cache_misses_total",
        "Secret lookups that missed the cache",
    ),
    ("secrets_errors_total", "Secret lookups that failed"),
    (
        "secrets_listener_failures_total",
        "Listener calls that panicked, or that other callers timed out waiting for",
    ),
    ("secrets_lookups_total", "Secret lookups"),
    (
        "secrets_refreshes_total",
        "Secrets that were refreshed before they expired",
    ),
    (
        "secrets_stale_served_total",
        "Secrets that were served after they expired, because no newer value was available",
    ),
    (
        "trace_export_failures_total",
        "Exports of spans that failed",
    ),
    ("trace_spans_dropped_total", "Spans that were dropped"),
    (
        "trace_spans_exported_total",
        "Spans that the collector accepted",
    ),
    (
        "trace_spans_rejected_total",
        "Spans that the collector rejected",
    ),
];

const GAUGES: [(&str, &str); 6] = [
    (
        "ops_findings",
        "Findings: 1 while active, 0 after they have ended",
    ),
    (
        "otlp_exporter_up",
        "1 if the last export of the signal succeeded, otherwise 0",
    ),
    (
        "otlp_queue_length",
        "Log lines and metric data points that are queued for export",
    ),
    (
        "trace_exporter_up",
        "1 if the last export of spans succeeded, otherwise 0",
    ),
    (
        "trace_queue_capacity",
        "Maximum number of spans that can be queued for export",
    ),
    ("trace_queue_length", "Spans that are queued for export"),
];

fn describe() {
    for (name, help) in COUNTERS {
        ::metrics::describe_counter!(name, help);
    }
    for (name, help) in GAUGES {
        ::metrics::describe_gauge!(name, help);
    }
    ::metrics::describe_histogram!(
        "trace_export_duration_seconds",
        "Duration of exports of spans, including retries"
    );
}

/// Calls `publish` each second, before the sparklines take their point.
pub(crate) fn before_tick(publish: impl Fn() + Send + Sync + 'static) {
    ops_metrics::before_tick(publish);
}

/// Calls `publish` before each scrape.
pub(crate) fn before_scrape(publish: impl Fn() + Send + Sync + 'static) {
    ops_metrics::before_scrape(publish);
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use ops_metrics::catalog as c;
    use ops_metrics::testing::Registry;

    #[test]
    fn requests_that_break_off_after_their_head_are_errors_of_their_route() {
        let registry = Registry::new();
        let seen = registry.run(|| {
            let requests = c::http_requests_total::family();
            requests.counter(&["/a", "GET", "200"]).add(20);
            requests.counter(&["/b", "GET", "503"]).add(5);
            requests.counter(&["/b", "GET", "500"]).add(2);
            requests.counter(&["/b", "GET", "499"]).add(3);
            requests.counter(&["/readyz", "GET", "499"]).add(100);
            let failures = c::http_response_failures_total::family();
            failures.counter(&["/a", "GET", "body_error"]).add(15);
            failures.counter(&["/a", "GET", "panic"]).add(1);
            failures.counter(&["/healthz", "GET", "panic"]).add(100);
            super::look()
        });
        let seen = seen.unwrap();
        assert_eq!((seen.requests, seen.server_errors), (30.0, 23.0));
        assert_eq!(seen.internal_errors, Some(3.0));
        assert_eq!(seen.given_up_by_route, [("GET /b".to_owned(), 3.0)]);
        let of_routes = [("GET /a".to_owned(), 16.0), ("GET /b".to_owned(), 7.0)];
        assert_eq!(seen.errors_by_route, of_routes);
    }

    #[test]
    fn routes_that_answer_late_are_read_with_what_is_usual_and_with_enough_requests_only() {
        use http::Method;
        let registry = Registry::new();
        registry.tick(std::time::Duration::ZERO);
        let seen = registry.run(|| {
            for (route, seconds, count) in [
                ("/slow", 2.0, 20),
                ("/quick", 0.01, 500),
                ("/seldom", 2.0, 19),
            ] {
                for _ in 0..count {
                    c::http_requests_total(route, Method::GET, 200).inc();
                    c::http_request_latency(route, Method::GET).observe(seconds);
                }
            }
            super::look()
        });
        let slow = seen.unwrap().slow_routes;
        let [slow] = slow.as_slice() else {
            panic!("{slow:?}");
        };
        assert_eq!((slow.route.as_str(), slow.requests), ("GET /slow", 20));
        for seconds in [slow.p95, slow.usual, slow.usual_p95] {
            assert!((1.8..2.2).contains(&seconds), "{slow:?}");
        }
    }

    #[cfg(feature = "grpc")]
    #[tokio::test]
    async fn calls_that_fail_are_errors_of_their_method_as_the_page_has_them() {
        use http::{Request, Response};
        use tower::{Layer as _, ServiceExt as _, service_fn};

        let call = async |status: &'static str| {
            let service = service_fn(|_| async {
                let answer = Response::builder().header("grpc-status", status);
                Ok::<_, ()>(answer.body(axum::body::Body::empty()).unwrap())
            });
            let service = ops_http::ObserveLayer::new(super::Observer::new()).layer(service);
            let request =
                Request::post("/look.Calls/One").header("content-type", "application/grpc");
            let request = request.body(axum::body::Body::empty()).unwrap();
            drop(service.oneshot(request).await);
        };
        let registry = Registry::new();
        registry.tick(std::time::Duration::ZERO);
        let calls = async {
            for status in ["0", "2", "5", "13", "14"] {
                call(status).await;
            }
        };
        registry.scope(calls).await;
        let seen = registry.run(super::look).unwrap();
        assert_eq!((seen.requests, seen.server_errors), (5.0, 3.0));
        let of_page = registry.run(|| ops_metrics::routes_over(ops_metrics::Window::FiveMinutes));
        let of_page = of_page.into_iter().map(|one| {
            let name = format!("{} {}", one.method, one.route);
            (name, one.errors as f64)
        });
        assert_eq!(seen.errors_by_route, of_page.collect::<Vec<_>>());
        assert_eq!(seen.errors_by_route[0].0, "POST /look.Calls/One");
    }
}
