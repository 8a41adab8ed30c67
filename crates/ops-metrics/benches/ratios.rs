//! Cost of a call compared with the same call of other crates: `cargo bench -p ops-metrics --bench ratios`.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use http::{Method, Request};
use metrics_exporter_prometheus::PrometheusBuilder;
use ops_http::{Ending, Observe as _, Outcome, Route};
use ops_metrics::MetricDefinition;
use ops_metrics::catalog::{http_request_latency, http_requests_total};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: usize = 10_000;

ops_metrics::define! {
    /// Beside the macro of `metrics`, whose name is another one.
    counter jobs_done_total { queue: &'static str, worker: &'static str, outcome: &'static str }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

fn main() {
    ops_metrics::init(ops_metrics::Config::new()).unwrap();
    let mut ratios = dev::ratio::Ratios::from_args();
    increments(&mut ratios);
    observations(&mut ratios);
    ratios.exactly(
        "allocations of 10,000 increments",
        0,
        allocations(increment),
    );
    ratios.exactly(
        "allocations of 10,000 observations",
        0,
        allocations(|| {
            http_request_latency("/api/users", Method::GET).observe(black_box(0.123));
        }),
    );
    observer(&mut ratios);
    ratios.finish();
}

fn increment() {
    http_requests_total(
        black_box("/api/users"),
        black_box(Method::GET),
        black_box(200),
    )
    .inc();
}

fn increments(ratios: &mut dev::ratio::Ratios) {
    let name = "increment with 3 labels";
    let texts = || (black_box("mail"), black_box("w1"), black_box("done"));
    // with the exporter's own recorder, so that the recorder of this crate does not slow the macro down
    let exporter = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&exporter, || {
        let macros = || {
            let (queue, worker, outcome) = texts();
            metrics::counter!("others_total", "queue" => queue, "worker" => worker, "outcome" => outcome)
                .increment(1);
        };
        ratios.at_most(name, 0.2, increment, ("metrics macro", macros));
    });
    let vec = IntCounterVec::new(
        Opts::new("peer_total", "Of the peer"),
        &["route", "method", "status"],
    )
    .unwrap();
    ratios.at_most(
        name,
        1.0,
        increment,
        ("prometheus with_label_values", || {
            vec.with_label_values(&[black_box("/api/users"), black_box("GET"), black_box("200")])
                .inc();
        }),
    );
    let family = Family::<Labels, Counter>::default();
    ratios.at_most(
        name,
        1.0,
        increment,
        ("prometheus-client get_or_create", || {
            let labels = Labels {
                route: black_box("/api/users"),
                method: black_box("GET"),
                status: black_box(200),
            };
            family.get_or_create(&labels).inc();
        }),
    );
    ratios.report("increment with 3 texts", || {
        let (queue, worker, outcome) = texts();
        jobs_done_total(queue, worker, outcome).inc();
    });
    let held = http_requests_total("/api/users", Method::GET, 200);
    ratios.report("increment of a held series", || black_box(held).inc());
}

fn observations(ratios: &mut dev::ratio::Ratios) {
    let held = http_request_latency("/api/users", Method::GET);
    let exporter = PrometheusBuilder::new()
        .set_buckets(MetricDefinition::BUCKETS)
        .unwrap()
        .build_recorder();
    let cached = metrics::with_local_recorder(
        &exporter,
        || metrics::histogram!("others_seconds", "route" => "/api/users", "method" => "GET"),
    );
    let ours = || black_box(held).observe(black_box(0.123));
    ratios.at_most(
        "observe, sparkline on",
        1.5,
        ours,
        ("cached metrics handle", || {
            black_box(&cached).record(black_box(0.123));
        }),
    );
    exporter.handle().run_upkeep(); // it stores every sample until then
    let options = HistogramOpts::new("peer_seconds", "Of the peer");
    let vec = HistogramVec::new(options, &["route", "method"]).unwrap();
    let peer = vec.with_label_values(&["/api/users", "GET"]);
    ratios.report(
        "observe of a held prometheus histogram, without sparkline",
        || {
            black_box(&peer).observe(black_box(0.123));
        },
    );
}

fn observer(ratios: &mut dev::ratio::Ratios) {
    let observer = ops_metrics::http::RedMetrics::new();
    let (mut parts, ()) = Request::new(()).into_parts();
    let outcome = Outcome::new(
        Method::GET,
        Some(Route::new("/api/users/{id}")),
        200,
        Ending::Complete,
        Duration::from_micros(1500),
    );
    let mut request = || {
        observer.start(black_box(&mut parts));
        observer.end(Default::default(), black_box(&outcome));
    };
    ratios.exactly(
        "allocations of 10,000 observed requests",
        0,
        allocations(&mut request),
    );
    ratios.report("observer of a request (goal <= 300 ns)", request);
}

/// Counts allocations after the first call, which creates the series.
fn allocations(mut work: impl FnMut()) -> usize {
    work();
    // the ticker allocates once a second too: the minimum of three belongs to the work
    let counted = (0..3).map(|_| {
        let region = Region::new(ALLOCATOR);
        (0..CALLS).for_each(|_| work());
        region.change().allocations
    });
    counted.min().unwrap_or(0)
}
