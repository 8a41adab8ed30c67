//! The reference platform: an axum API, a DuckDB warehouse and every ops crate at work.
#![expect(
    unreachable_pub,
    reason = "nothing of a program is reached from outside"
)]

mod addresses;
mod admin_client;
mod admin_jobs;
mod args;
mod buckets;
mod cluster;
mod commands;
mod configs;
mod datasets;
mod doctor;
mod domain_metrics;
mod error;
mod execution;
mod files;
mod healthcheck;
mod isochrone;
mod log_file;
mod orchestrator;
mod output;
mod params;
mod platform;
mod problem;
mod registry;
mod routes;
mod rules;
mod serve;
mod setup;
mod start_block;
mod warehouse;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::error::{Error, chain};

fn main() -> ExitCode {
    let command = Cli::of_process().command;
    files::set_private_umask();
    let result = match command {
        Command::Serve(options) => serve::run(options),
        Command::Orchestrate(options) => commands::orchestrate::run(options),
        Command::Runs(options) => commands::runs::run(&options),
        Command::Secrets(command) => commands::secrets::run(command),
        Command::Cache(command) => commands::cache::run(command),
        Command::Logs(options) => return commands::logs::run(&options),
        Command::BlackBox(options) => commands::black_box::run(&options),
        Command::Sql(options) => commands::sql::run(&options),
        Command::History(command) => commands::history::run(&command),
        Command::Healthcheck(options) => healthcheck::run(&options),
        Command::Doctor(options) => return doctor::run(&options),
        Command::Completions { shell } => commands::completions::print(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &Error) -> ExitCode {
    output::print_to_stderr(&chain(error));
    error.exit_code()
}
