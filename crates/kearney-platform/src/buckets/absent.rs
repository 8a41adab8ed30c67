use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ops_layer::history::Moved;

use super::Wanted;
use crate::error::{Error, Kind, Result};

/// Not available in this build.
pub enum Copy {}

impl Copy {
    pub fn dir(&self) -> &Path {
        match *self {}
    }
}

pub fn fetch(urls: &[&str], _wanted: &Wanted) -> Result<Vec<Copy>> {
    Err(refused(&urls.join(", ")))
}

pub fn export(
    url: &str,
    _dirs: &[PathBuf],
    _since: SystemTime,
    _until: SystemTime,
    _time: Duration,
) -> Result<Moved> {
    Err(refused(url))
}

fn refused(url: &str) -> Error {
    let message = "this build does not support S3 buckets; rebuild with --features history-s3";
    Error::new(Kind::Config, format!("{url}: {message}"))
}
