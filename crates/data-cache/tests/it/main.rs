//! Behaviour through the public API.
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
mod differential;
mod faults;
mod forged;
mod http;
mod keys;
mod macros;
mod metrics;
mod processes;
mod types;
mod warehouse;
