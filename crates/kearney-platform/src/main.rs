//! The reference platform: an axum API, a DuckDB warehouse and every ops crate at work.
#![expect(
    unreachable_pub,
    reason = "nothing of a program is reached from outside"
)]

mod addresses;
mod args;
mod cache_command;
mod configs;
mod data_dir;
mod datasets;
mod domain_metrics;
mod orchestrator;
mod params;
mod platform;
mod problem;
mod registry;
mod routes;
mod run_queue;
mod secrets_command;
mod serve;
mod start_block;
mod warehouse;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(options) => serve::run(options),
        Command::Secrets(command) => secrets_command::run(command),
        Command::Cache(command) => cache_command::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "what keeps the program from running is told on stderr"
)]
fn fail(why: &str) -> ExitCode {
    eprintln!("kearney-platform: {why}");
    ExitCode::FAILURE
}
