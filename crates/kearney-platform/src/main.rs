//! The reference platform: an axum API, a DuckDB warehouse and every ops crate at work.
#![expect(
    unreachable_pub,
    reason = "nothing of a program is reached from outside"
)]

mod addresses;
mod args;
mod cache_command;
mod completions;
mod configs;
mod data_dir;
mod datasets;
mod doctor;
mod domain_metrics;
mod failure;
mod healthcheck;
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

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let result = match Cli::of_process().command {
        Command::Serve(options) => serve::run(options),
        Command::Secrets(command) => secrets_command::run(command).map_err(Failure::from),
        Command::Cache(command) => cache_command::run(command).map_err(Failure::from),
        Command::Healthcheck(options) => healthcheck::run(&options),
        Command::Doctor(options) => return doctor::run(&options),
        Command::Completions { shell } => completions::print(shell).map_err(Failure::from),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

/// Writes what a command has to say. A reader that has seen enough and left is no failure.
fn answer(text: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to stdout: {error}"))
        }
        _ => Ok(()),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "what keeps the program from running is told on stderr"
)]
fn fail(failure: &Failure) -> ExitCode {
    eprintln!("kearney-platform: {}", failure::chain(failure));
    ExitCode::FAILURE
}
