//! Allocations of a line once everything is warm: `cargo bench -p ops-log --bench allocations`.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::alloc::System;
use std::io::{self, Write};

use ops_log::{Config, Output, Pipeline, bind_context, info};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(log: &ops_log::Logger, count: u64) {
    for number in 0..count {
        info!(
            log,
            "request_completed",
            method = "GET",
            path = "/api/registry/models",
            status = 200_u16,
            latency_ms = number,
            ratio = 0.75,
            ok = true,
            address = %std::net::Ipv4Addr::LOCALHOST,
            debug = ?Some(3),
            none = Option::<u8>::None,
            text = "a \"quoted\" é\n"
        );
    }
}

fn main() {
    let mut ratios = dev::ratio::Ratios::from_args();
    let output = Output::writer(Nowhere).json(true);
    let pipeline = Pipeline::new(Config::new().stdout(false).output(output)).unwrap();
    let log = pipeline.logger("api").bind("table", "users");
    bind_context!(request_id = "req-abc123", user_id = 456);
    lines(&log, 1000);
    let region = Region::new(ALLOCATOR);
    lines(&log, 1000);
    let change = region.change();
    ratios.exactly(
        "allocations of 1000 lines",
        0,
        change.allocations + change.reallocations,
    );
    ratios.finish();
}
