//! A worker without HTTP: `cargo run -p ops-layer --example worker`. Ctrl-C ends it with exit code 0.
//!
//! It has the admin page of a service, and its last lines and spans are written when it ends.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use ops_layer::StopSignal;

#[tokio::main]
async fn main() -> ExitCode {
    ops_layer::run("worker", work).await
}

async fn work(stop: StopSignal) -> Result<(), Infallible> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for number in 1_u64.. {
        tokio::select! {
            _ = ticks.tick() => handle(number),
            () = stop.wait() => break,
        }
    }
    Ok(())
}

/// One piece of work: a span, and a line that carries its trace id.
fn handle(number: u64) {
    let span = ops_layer::trace::span!("handle");
    span.in_scope(|_| ops_layer::log::info!("handled", number = number));
}
