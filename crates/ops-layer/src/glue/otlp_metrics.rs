use ops_metrics::Reading;
use ops_trace::{Metric, MetricsBatch};

/// Fills a batch with the content of a scrape, under the same names.
pub(super) fn fill(batch: &mut MetricsBatch) {
    // before metrics are installed there are none
    let _ = ops_metrics::read(&mut |series| {
        let definition = series.definition;
        let unit = match definition.unit() {
            "seconds" => "s",
            "bytes" => "By",
            _ => "",
        };
        let metric = Metric::new(definition.name, series.help, unit);
        match series.value {
            Reading::Counter(total) => batch.counter(metric, series.labels, total),
            Reading::Seconds(total) => batch.counter_f64(metric, series.labels, total),
            Reading::Gauge(value) => batch.gauge(metric, series.labels, value),
            Reading::Histogram {
                bounds,
                counts,
                sum,
            } => batch.histogram(metric, series.labels, bounds, counts, sum),
            _ => {}
        }
    });
}
