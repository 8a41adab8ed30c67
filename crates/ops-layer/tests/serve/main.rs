//! `ops_layer::serve` from the view of its users: each test starts services as separate processes, on free ports.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests"
)]

mod admin;
#[cfg(feature = "black-box")]
mod black_box;
mod child;
mod client;
mod config;
mod drain;
mod examples;
mod findings;
#[cfg(feature = "grpc")]
mod grpc;
mod host;
mod http2;
mod limits;
mod listen;
mod probes;
mod process;
#[cfg(feature = "profile")]
mod profile;
mod starvation;
mod stop;
mod supervisor;
mod w3c;
mod wire;
