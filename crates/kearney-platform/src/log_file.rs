//! Option for the log file, shared by every command that writes or reads it.

use std::path::{Path, PathBuf};

use clap::Args;

/// The log file of the platform.
#[derive(Args, Clone, Debug)]
pub struct LogFile {
    /// File of JSON log lines, in addition to the terminal, or `none`
    #[arg(
        long,
        env = "KEARNEY_LOG_FILE",
        value_name = "PATH|none",
        default_value = "logs/app.log"
    )]
    log_file: PathBuf,
}

impl LogFile {
    /// Returns the file; `None` if logging to a file is off.
    pub fn path(&self) -> Option<&Path> {
        let is_none = self.log_file.as_os_str().eq_ignore_ascii_case("none");
        (!is_none).then_some(self.log_file.as_path())
    }
}
