//! Development tasks of the project, one file per command: `cargo xtask <command>`.
//!
//! Every command is printed before it runs, so that it can be copied. No shell is involved.

#![expect(
    clippy::print_stdout,
    reason = "a command-line tool speaks through its standard output"
)]

mod bench;
mod ci;
mod command;
mod demo;
mod dist;
mod metadata;
mod passed;
mod perf;
mod platform;
mod prometheus;
mod promql;
mod release;
mod serve;
mod setup;
mod tidy;
mod tools;
mod web;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Error message, ready to be printed.
type Result<T> = std::result::Result<T, String>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of the project")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch the pinned tools into `<target dir>/tools` and link `.tools` to it
    Setup,
    /// Build the reference platform and run it in the foreground
    Serve(serve::Args),
    /// Send the traffic of `serve --demo`, which starts this
    #[command(hide = true)]
    DemoTraffic(demo::Args),
    /// Run every check that must pass before a merge
    Ci(ci::Args),
    /// Run the checks that the compiler does not do: dependency law, documents against manifests, forbidden words
    Tidy,
    /// Run all measurements, and write them to one report
    Perf(perf::Args),
    /// Test the admin page in a browser, and both pages with Lighthouse (needs node and npm)
    Web(web::Args),
    /// Run the queries of dashboards, alerts and runbooks with a real Prometheus against a served platform
    Prometheus(prometheus::Args),
    /// Run the benchmarks of all crates
    Bench(bench::Args),
    /// Build the reference platform for another machine: program, engine, configs, licenses, checksums
    Dist(dist::Args),
    /// Run a program in a separate root directory, as `dist --trial` does
    #[command(hide = true)]
    EnterRoot(dist::root::Args),
    /// Check versions, changelogs, licenses, public API and packages, and print the order of publication
    Release(release::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Task::Setup => setup::run(),
        Task::Serve(args) => serve::run(&args),
        Task::DemoTraffic(args) => demo::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Tidy => tidy::run(),
        Task::Perf(args) => perf::run(&args),
        Task::Web(args) => web::run(&args),
        Task::Prometheus(args) => prometheus::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::EnterRoot(args) => dist::root::enter(&args),
        Task::Release(args) => release::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
