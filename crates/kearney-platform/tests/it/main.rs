//! The platform as its users meet it: the program itself, started on free ports, asked over HTTP, stopped by its own
//! process id. It serves the embedded extract; what needs a load that takes a while uses the whole data where it was fetched.

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
