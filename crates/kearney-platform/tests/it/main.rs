//! Tests of the program itself, which is started on free ports, queried over HTTP, and stopped by its own process id.
//! It serves the embedded extract; tests that need a long load use the complete data if it was fetched.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod api;
mod bad_input;
mod black_box;
#[cfg(feature = "history-s3")]
mod buckets;
mod cache;
mod canary;
mod cluster;
mod collector;
mod commands;
mod crash;
mod doctor_aws;
mod exit_codes;
mod faults;
mod files;
mod history;
mod isochrone;
mod mapbox_stand_in;
mod moto;
mod orchestrator;
mod runbooks;
mod served;
mod shared;
mod stored_logs;
mod telemetry;
