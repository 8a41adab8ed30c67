//! Options of `cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Shows entries, size, the last invalidations and, for a running platform, the shared bucket
    Stats {
        /// Prints JSON, with every recorded invalidation
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
    /// Data directory of the platform, which may be running
    #[arg(long, env = "KEARNEY_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// Admin address of a running platform, which is queried instead of the directory. The token is read from OPS_ADMIN_TOKEN or the file OPS_ADMIN_TOKEN_FILE
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
}
