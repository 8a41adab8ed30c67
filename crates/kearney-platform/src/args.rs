//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The reference platform of the operations layer.
#[derive(Debug, Parser)]
#[command(name = "kearney-platform", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the API and the admin page until Ctrl-C
    Serve(Serve),
    /// Says where secrets come from (never what they are)
    #[command(subcommand)]
    Secrets(Secrets),
    /// Looks at what the query cache keeps, or removes it
    #[command(subcommand)]
    Cache(Cache),
}

#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Entries, size, and the last invalidations
    Stats(CacheDir),
    /// Removes the entries whose SQL text or label matches
    Invalidate {
        /// `*` stands for any run, `?` for one character; for a table write table:NAME
        pattern: String,
        #[command(flatten)]
        dir: CacheDir,
    },
    /// Removes every entry
    Clear(CacheDir),
}

#[derive(Args, Debug)]
pub struct CacheDir {
    /// The data directory of the platform, which may be running
    #[arg(long, default_value = "data")]
    pub data_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// The source of one secret
    Source {
        /// Its name in secrets.yaml, or its environment variable
        name: String,
        #[arg(long)]
        config_dir: Option<PathBuf>,
    },
    /// Source, age and problems of every secret of the catalog; fails if a required one cannot be had
    Report {
        /// As JSON instead of a table
        #[arg(long)]
        json: bool,
        #[arg(long)]
        config_dir: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub struct Serve {
    /// Address of the API
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port of the API; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Port of the admin page, on loopback; 0 takes a free one
    #[arg(long, default_value_t = 8001)]
    pub admin_port: u16,
    /// Directory of warehouse, registry and cache
    #[arg(long, default_value = "data")]
    pub data_dir: PathBuf,
    /// Directory of secrets.yaml and cache.yaml [default: ./configs if there, else the embedded files]
    #[arg(long)]
    pub config_dir: Option<PathBuf>,
    /// Directory of flights-3m.parquet, airports.csv and zipcodes.csv [default: the small embedded extract]
    #[arg(long)]
    pub datasets: Option<PathBuf>,
    /// Seconds to go on serving after SIGTERM, not ready, while load balancers look elsewhere; at most 20
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=20))]
    pub grace_seconds: u64,
    /// File of JSON log lines besides the terminal
    #[arg(long, default_value = "logs/app.log")]
    pub log_file: PathBuf,
}
