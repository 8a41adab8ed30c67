//! A test that checks traces: `cargo run -p ops-trace --example testing --features testing`.

#![allow(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Config, Handle, Tracer, span};

/// The tested code takes a handle, so that each test can have its own.
fn order(tracer: &Handle, declined: bool) {
    span!(tracer: tracer, "order", items = 2).in_scope(|_| {
        span!(tracer: tracer, "pay").in_scope(|pay| {
            if declined {
                pay.set_error("declined");
            }
        });
    });
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let collector = Collector::start()?;
    let tracer = Tracer::new(Config::new("shop").endpoint(collector.endpoint()))?;
    order(&tracer, true);
    tracer.flush();
    print!("{}", collector.snapshot());
    assert_eq!(
        collector.snapshot(),
        "order items=2\n  pay ERROR error.type=declined\n"
    );

    collector.answer(Answer::Status(404));
    order(&tracer, false);
    tracer.flush();
    let stats = tracer.shutdown_blocking(Duration::from_secs(1));
    println!("{stats:?}");
    assert_eq!((stats.exported, stats.dropped_export_failed), (2, 2));
    Ok(())
}
