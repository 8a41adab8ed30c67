use std::path::{Path, PathBuf};

use clap::Args;

use crate::log_file::LogFile;

/// Default data directory.
const DATA_DIR: &str = "data";

/// Options of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Admin address of the running platform [default: that of the data directory, else OPS_ADMIN_ADDR, else
    /// http://127.0.0.1:8001]; the token is read from OPS_ADMIN_TOKEN or the file OPS_ADMIN_TOKEN_FILE
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// Prints JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Writes everything that helps to find a cause to this archive (.tar.gz), without secrets
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Directory of warehouse, registry and cache [default: data]
    #[arg(long = "data-dir", env = "KEARNEY_DATA_DIR", value_name = "DATA_DIR")]
    pub named_data_dir: Option<PathBuf>,
    /// Directory of secrets.yaml and cache.yaml [default: ./configs if it exists, else the embedded files]
    #[arg(long, env = "KEARNEY_CONFIG_DIR")]
    pub config_dir: Option<PathBuf>,
    /// Black box of the platform, or its folder
    #[arg(long, env = "OPS_BLACK_BOX", value_name = "PATH")]
    pub black_box: Option<PathBuf>,
    #[command(flatten)]
    pub log_file: LogFile,
}

impl Doctor {
    /// Returns the named data directory, or the default.
    pub fn data_dir(&self) -> &Path {
        let named = self.named_data_dir.as_deref();
        named.unwrap_or(Path::new(DATA_DIR))
    }
}
