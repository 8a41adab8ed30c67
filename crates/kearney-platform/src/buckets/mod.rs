//! Directories of histories, some of which may be prefixes of buckets.

#[cfg_attr(not(feature = "history-s3"), path = "absent.rs")]
mod s3;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ops_layer::history::{Moved, Table};

use crate::error::{Error, Kind, Result};

/// Time limit for copying files to a bucket.
const EXPORT_TIME: Duration = Duration::from_secs(600);

/// Selection of files to copy from buckets, and its limits.
#[cfg_attr(
    not(feature = "history-s3"),
    expect(dead_code, reason = "there is nothing to copy")
)]
pub struct Wanted {
    pub tables: Vec<Table>,
    pub since: Option<SystemTime>,
    pub until: Option<SystemTime>,
    pub bytes: u64,
    pub time: Duration,
}

/// Local directories; copies among them are removed on drop.
pub struct Sources {
    pub dirs: Vec<PathBuf>,
    _copies: Vec<s3::Copy>,
}

impl Sources {
    /// Copies the wanted files of all prefixes, with common limits; directories are used in place.
    pub fn gather(places: &[PathBuf], wanted: &Wanted) -> Result<Self> {
        let urls: Vec<&str> = places.iter().filter_map(|place| url(place)).collect();
        let copies = match urls.as_slice() {
            [] => Vec::new(),
            urls => s3::fetch(urls, wanted)?,
        };
        let dirs = places.iter().filter(|place| url(place).is_none()).cloned();
        let copied = copies.iter().map(|copy| copy.dir().to_owned());
        let dirs = dirs.chain(copied).collect();
        Ok(Self {
            dirs,
            _copies: copies,
        })
    }
}

/// Copies the files of some hours to a prefix of a bucket; `None` if the target is a directory.
pub fn export(
    to: &Path,
    dirs: &[PathBuf],
    since: SystemTime,
    until: SystemTime,
) -> Result<Option<Moved>> {
    let Some(url) = url(to) else { return Ok(None) };
    s3::export(url, dirs, since, until, EXPORT_TIME).map(Some)
}

/// Fails if a prefix is given to a command that accepts only directories.
pub fn only_directories(places: &[PathBuf], command: &str) -> Result<()> {
    match places.iter().find_map(|place| url(place)) {
        Some(url) => Err(Error::new(
            Kind::Config,
            format!("{url}: {command} accepts only local directories"),
        )),
        None => Ok(()),
    }
}

fn url(place: &Path) -> Option<&str> {
    place.to_str().filter(|text| text.starts_with("s3://"))
}
