//! Behavior through the public API.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod batches;
mod cache;
mod child;
mod concurrency;
mod configuration;
mod descriptors;
mod differential;
mod directory;
mod faults;
mod flight_sql;
mod flights;
mod forged;
mod generated;
mod http;
mod keys;
mod macros;
mod memory;
mod metrics;
mod processes;
mod profiles;
mod scale;
#[cfg(feature = "shared")]
mod shared;
mod sqllogic;
mod stale;
mod statements;
mod threads;
mod types;
mod warehouse;
