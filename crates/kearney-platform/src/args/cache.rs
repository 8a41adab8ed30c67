//! Options of `cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Entries, size, the last invalidations, and of a platform that runs the bucket that machines share
    Stats {
        /// As JSON, with every invalidation that is kept
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: CachePlace,
    },
    /// Removes the entries whose SQL text or label matches
    Invalidate {
        /// Pattern: `*` matches any characters, `?` one character; table:NAME matches the entries that read a table
        pattern: String,
        #[command(flatten)]
        place: CachePlace,
    },
    /// Removes every entry
    Clear {
        #[command(flatten)]
        place: CachePlace,
    },
}

/// A cache in a directory, or that of a running platform.
#[derive(Args, Debug)]
pub struct CachePlace {
    /// The data directory of the platform, which may be running
    #[arg(long, env = "KEARNEY_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// Admin address of a running platform, which is asked in place of the directory. Its token is OPS_ADMIN_TOKEN, or in the file OPS_ADMIN_TOKEN_FILE
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
}
