//! Time to render `/metrics` with many series: `cargo bench -p ops-metrics --bench render`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench, which prints what it measured"
)]

use std::time::Instant;

ops_metrics::define! {
    /// With as many series as are asked for.
    counter rendered_total { first: &'static str, second: &'static str, third: &'static str }
    /// The same as a histogram: 16 lines a series.
    histogram rendered_seconds { first: &'static str, second: &'static str }
}

fn main() {
    let config = ops_metrics::Config::new()
        .label_values_max(1000)
        .series_max(200_000);
    ops_metrics::init(config).unwrap();
    let names: Vec<&'static str> = (0..500).map(|n| &*format!("value-{n}").leak()).collect();
    let mut made = 0;
    for series in [1_000, 10_000, 100_000] {
        for index in made..series {
            rendered_total(names[index % 500], names[index / 500], "third").inc();
        }
        made = series;
        report(&format!("{series} counters"));
    }
    for index in 0..1_000 {
        rendered_seconds(names[index % 500], names[index / 500]).observe(0.2);
    }
    report("100000 counters and 1000 histograms of 16 lines");
}

fn report(what: &str) {
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let started = Instant::now();
            let text = ops_metrics::render().unwrap();
            (started.elapsed(), text.lines().count(), text.len())
        })
        .collect();
    times.sort_unstable();
    let (median, lines, bytes) = times[times.len() / 2];
    println!("render {what}: {median:.2?}, {lines} lines, {bytes} bytes");
}
