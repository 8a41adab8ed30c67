//! Time and memory of `/metrics` with many series, compared with three other crates:
//! `cargo bench -p ops-metrics --bench render`.
//!
//! All four alternate in one process; the time is the processor time of the thread, and the median of 25 turns is
//! shown. With `--check` the run fails if this crate is more than 25 % slower than the fastest of the others.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench, which prints what it measured"
)]

use std::alloc::System;
use std::hint::black_box;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use cpu_time::ThreadTime;
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use prometheus::{IntCounterVec, Opts, TextEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

ops_metrics::define! {
    /// With as many series as are asked for.
    counter rendered_total { first: &'static str, second: &'static str, third: &'static str }
    /// The same as a histogram: 16 lines a series.
    histogram rendered_seconds { first: &'static str, second: &'static str }
}

/// Number of turns of each renderer.
const TURNS: usize = 25;
/// Factor by which the goal may be missed because of noise.
const TOLERANCE: f64 = 1.25;

type Labels = [(&'static str, &'static str); 3];

/// A renderer, with its measurements.
struct Renderer<'a> {
    name: &'static str,
    render: Box<dyn Fn() -> usize + 'a>,
    times: Vec<Duration>,
    bytes: usize,
    allocated: usize,
}

impl<'a> Renderer<'a> {
    fn new(name: &'static str, render: impl Fn() -> usize + 'a) -> Self {
        Self {
            name,
            render: Box::new(render),
            times: Vec::new(),
            bytes: 0,
            allocated: 0,
        }
    }

    fn turn(&mut self) {
        let started = ThreadTime::now();
        self.bytes = black_box((self.render)());
        self.times.push(started.elapsed());
    }

    fn median(&mut self) -> Duration {
        self.times.sort_unstable();
        self.times[self.times.len() / 2]
    }
}

fn main() -> ExitCode {
    let config = ops_metrics::Config::new()
        .label_values_max(1000)
        .series_max(200_000);
    ops_metrics::init(config).unwrap();
    let names: Vec<&'static str> = (0..500).map(|n| &*format!("value-{n}").leak()).collect();

    let facade = PrometheusBuilder::new().build_recorder();
    let handle = facade.handle();
    let registry = prometheus::Registry::new();
    let labels = ["first", "second", "third"];
    let vec = IntCounterVec::new(Opts::new("rendered_total", "Many series."), &labels).unwrap();
    registry.register(Box::new(vec.clone())).unwrap();
    let mut client = prometheus_client::registry::Registry::default();
    let family = Family::<Labels, Counter>::default();
    client.register("rendered", "Many series.", family.clone());

    let mut made = 0;
    let mut is_good = true;
    for series in [1_000, 10_000, 100_000] {
        for index in made..series {
            let (first, second) = (names[index % 500], names[index / 500]);
            rendered_total(first, second, "third").inc();
            metrics::with_local_recorder(&facade, || {
                metrics::counter!("rendered_total", "first" => first, "second" => second, "third" => "third")
                    .increment(1);
            });
            vec.with_label_values(&[first, second, "third"]).inc();
            let labels = [("first", first), ("second", second), ("third", "third")];
            family.get_or_create(&labels).inc();
        }
        made = series;
        let renderers = [
            Renderer::new("ops-metrics", || ops_metrics::render().unwrap().len()),
            Renderer::new("metrics-exporter-prometheus", || handle.render().len()),
            Renderer::new("prometheus", || {
                let families = registry.gather();
                TextEncoder::new()
                    .encode_to_string(&families)
                    .unwrap()
                    .len()
            }),
            Renderer::new("prometheus-client", || {
                let mut text = String::new();
                prometheus_client::encoding::text::encode(&mut text, &client).unwrap();
                text.len()
            }),
        ];
        is_good &= compare(&format!("{series} counters"), renderers);
    }
    streamed();
    for index in 0..1_000 {
        rendered_seconds(names[index % 500], names[index / 500]).observe(0.2);
    }
    let mut ours = Renderer::new("ops-metrics", || ops_metrics::render().unwrap().len());
    (0..TURNS).for_each(|_| ours.turn());
    let median = ours.median();
    println!(
        "with 1000 histograms of 16 lines: {median:.2?}, {} bytes",
        ours.bytes
    );
    match is_good || !std::env::args().any(|argument| argument == "--check") {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Reads the response of a scrape piece by piece, and prints the memory held meanwhile.
fn streamed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (parts, ()) = http::Request::new(()).into_parts();
        let region = Region::new(ALLOCATOR);
        let mut body = pin!(ops_metrics::serve(&parts).await.into_body());
        let (mut pieces, mut bytes, mut held) = (0, 0, 0);
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            let change = region.change();
            held = held.max(change.bytes_allocated - change.bytes_deallocated);
            pieces += 1;
            bytes += piece.len();
        }
        println!("streamed: {bytes} bytes in {pieces} pieces, at most {held} bytes held");
    });
}

/// Runs all of them in turns; returns `true` if the first one, this crate, is as fast as the fastest.
fn compare(what: &str, mut renderers: [Renderer<'_>; 4]) -> bool {
    for renderer in &mut renderers {
        renderer.turn();
        renderer.times.clear();
        let region = Region::new(ALLOCATOR);
        (renderer.render)();
        renderer.allocated = region.change().bytes_allocated;
    }
    for turn in 0..TURNS {
        for at in 0..renderers.len() {
            let at = (at + turn) % renderers.len();
            renderers[at].turn();
        }
    }
    let medians = renderers.each_mut().map(Renderer::median);
    let fastest = medians[1..].iter().min().copied().unwrap_or_default();
    println!("{what}, median of {TURNS}:");
    for (renderer, median) in renderers.iter().zip(medians) {
        let ratio = median.as_secs_f64() / fastest.as_secs_f64();
        println!(
            "  {:28} {:>10.2?}  {ratio:5.2} of the fastest other  {:>9} bytes  {:>10} allocated",
            renderer.name, median, renderer.bytes, renderer.allocated
        );
    }
    medians[0].as_secs_f64() <= fastest.as_secs_f64() * TOLERANCE
}
