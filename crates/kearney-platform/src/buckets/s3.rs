use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ops_layer::history::s3::{self, LocalCopy, Prefix};
use ops_layer::history::{self, ErrorKind, Moved};

use super::Wanted;
use crate::error::{Error, Kind, Result};
use crate::output::print_to_stderr;

pub type Copy = LocalCopy;

pub fn fetch(urls: &[&str], wanted: &Wanted) -> Result<Vec<Copy>> {
    let mut asked = s3::Wanted::default();
    asked.tables.clone_from(&wanted.tables);
    (asked.since, asked.until) = (wanted.since, wanted.until);
    (asked.bytes, asked.time) = (wanted.bytes, wanted.time);
    let prefixes = urls.iter().map(|url| Prefix::parse(url));
    let prefixes = prefixes.collect::<std::result::Result<Vec<_>, _>>();
    let prefixes = prefixes.map_err(failed)?;
    let copies = s3::fetch(&prefixes, &asked).map_err(failed)?;
    for (prefix, copy) in prefixes.iter().zip(&copies) {
        for skipped in copy.skipped() {
            print_to_stderr(&format!("skipped: {skipped}"));
        }
        let (files, bytes) = (copy.files(), copy.bytes());
        print_to_stderr(&format!("{prefix}: copied {files} files, {bytes} bytes"));
    }
    Ok(copies)
}

pub fn export(
    url: &str,
    dirs: &[PathBuf],
    since: SystemTime,
    until: SystemTime,
    time: Duration,
) -> Result<Moved> {
    let prefix = Prefix::parse(url).map_err(failed)?;
    prefix.export(dirs, since, until, time).map_err(failed)
}

fn failed(error: history::Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::Bucket | ErrorKind::TimedOut => Kind::Service,
        _ => Kind::File,
    };
    Error::new(kind, "cannot copy the history").because(error)
}
