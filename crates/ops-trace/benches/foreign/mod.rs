//! A span of the `tracing` crate through the layer of this crate, and through that of `tracing-opentelemetry` alone.

use opentelemetry::trace::TracerProvider as _;
use ops_trace::{Config, Tracer};
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

use super::{blocks, median, ours, raw, rounds};
use dev::ratio::Ratios;

pub(super) fn measure(ratios: &mut Ratios) {
    for (name, ratio, goal) in [("sampled", 1.0, 1.0), ("not sampled", 0.0, 0.5)] {
        let (provider, tracer) = (raw(ratio), ours(ratio));
        let plain = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
        let plain = Dispatch::new(registry().with(plain));
        // its cost without the features that are not compared
        let lean = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("bench"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        let lean = Dispatch::new(registry().with(lean));
        let layer = Dispatch::new(registry().with(tracer.tracing_layer()));
        let [ours, theirs, mut lean] = rounds([
            (&mut inside(&layer, root), &mut || tracer.flush()),
            (&mut inside(&plain, root), &mut || {
                drop(provider.force_flush())
            }),
            (&mut inside(&lean, root), &mut || {
                drop(provider.force_flush())
            }),
        ]);
        println!(
            "tracing-opentelemetry with fewer attributes: {:.1} ns",
            median(&mut lean)
        );
        let case = format!("tracing span with 3 fields, {name}");
        ratios.judge(&case, goal, "tracing-opentelemetry", blocks(&ours, &theirs));
        let [ours, theirs] = rounds([
            (&mut inside(&layer, four), &mut || tracer.flush()),
            (&mut inside(&plain, four), &mut || {
                drop(provider.force_flush())
            }),
        ]);
        let case = format!("four tracing spans within each other, {name}");
        ratios.judge(&case, goal, "tracing-opentelemetry", blocks(&ours, &theirs));
    }
    filtered(ratios);
}

fn inside(dispatch: &Dispatch, work: fn()) -> impl FnMut() + use<> {
    let dispatch = dispatch.clone();
    move || dispatcher::with_default(&dispatch, work)
}

fn root() {
    tracing::info_span!(
        "query",
        table = "users",
        operation = "SELECT",
        row_count = 3
    )
    .in_scope(|| {});
}

fn four() {
    tracing::info_span!(
        "request",
        table = "users",
        operation = "SELECT",
        row_count = 3
    )
    .in_scope(|| {
        for _ in 0..3 {
            root();
        }
    });
}

fn filtered(ratios: &mut Ratios) {
    let config = Config::new("bench").environment([
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OPS_TRACE_FILTER", "info,chatty=off"),
    ]);
    let tracer = Tracer::new(config).unwrap();
    let layer = Dispatch::new(registry().with(tracer.tracing_layer()));
    let chatty = || {
        tracing::info_span!(target: "chatty", "query", table = "users", operation = "SELECT", row_count = 3)
            .in_scope(|| {});
    };
    let off = Dispatch::new(registry().with(tracing_subscriber::filter::LevelFilter::OFF));
    let [ours, theirs] = rounds([
        (&mut inside(&layer, chatty), &mut || {}),
        (&mut inside(&off, chatty), &mut || {}),
    ]);
    ratios.judge(
        "tracing span that is filtered out",
        2.0,
        "a disabled one",
        blocks(&ours, &theirs),
    );
}
