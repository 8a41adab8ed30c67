//! A file that somebody wrote, looked at before it is believed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
#[cfg(feature = "sql")]
use parquet::file::statistics::Statistics;

use crate::error::Error;
use crate::file::directory::Found;
use crate::file::publish::{KEY_CHECKED, KEY_CRC, KEY_REQUESTS, KEY_TABLE, KEY_VERSION};
use crate::file::requests::Requests;
use crate::table::SCHEMA_VERSION;

/// A file whose footer says that it is ours.
pub(crate) struct Stored {
    pub(crate) reader: SerializedFileReader<File>,
    pub(crate) rows: u64,
    checked: u64,
    crc: u32,
}

impl Stored {
    /// Reads the footer: version, table, columns, one row group.
    pub(crate) fn open(found: &Found) -> Result<Self, Error> {
        let path = &found.path;
        let file = open(path)?;
        let wrong = |reason: String| Error::unreadable(path, reason);
        let reader = SerializedFileReader::new(file)
            .map_err(|error: ParquetError| Error::parquet(path, "read the file", error))?;
        let footer = reader.metadata().file_metadata();
        let pairs = footer.key_value_metadata();
        let value = |key: &str| {
            let mut pairs = pairs.into_iter().flatten();
            pairs.find(|pair| pair.key == key)?.value.clone()
        };
        let version = value(KEY_VERSION).unwrap_or_default();
        if version != SCHEMA_VERSION.to_string() {
            return Err(wrong(format!(
                "it is of version {version:?}, and not {SCHEMA_VERSION}"
            )));
        }
        let table = found.name.table;
        let expected = table.schema();
        let expected = expected.map_err(|error| wrong(error.to_string()))?;
        if value(KEY_TABLE).as_deref() != Some(table.as_str())
            || footer.schema().get_fields() != expected.get_fields()
        {
            return Err(wrong(format!("its columns are not those of {table:?}")));
        }
        if reader.metadata().num_row_groups() != 1 {
            return Err(wrong("it has not one row group".to_owned()));
        }
        let rows = u64::try_from(footer.num_rows()).ok();
        let checked = value(KEY_CHECKED).and_then(|text| text.parse().ok());
        let crc = value(KEY_CRC).and_then(|text| u32::from_str_radix(&text, 16).ok());
        let (Some(rows), Some(checked), Some(crc)) = (rows, checked, crc) else {
            return Err(wrong("its checksum is missing".to_owned()));
        };
        Ok(Self {
            reader,
            rows,
            checked,
            crc,
        })
    }

    /// Times of its first and its last row in microseconds since 1970; `None` if it does not have them.
    #[cfg(feature = "sql")]
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let group = self.reader.metadata().row_groups().first()?;
        match group.columns().first()?.statistics()? {
            Statistics::Int64(times) => Some((*times.min_opt()?, *times.max_opt()?)),
            _ => None,
        }
    }

    /// Numbers of its requests; `None` if it has none, or they are damaged.
    pub(crate) fn requests(&self) -> Option<Requests<'static>> {
        let footer = self.reader.metadata().file_metadata();
        let mut pairs = footer.key_value_metadata().into_iter().flatten();
        let pair = pairs.find(|pair| pair.key == KEY_REQUESTS)?;
        Requests::parse(pair.value.as_deref()?)
    }

    /// Reads all of it, and compares the checksum.
    pub(crate) fn verify(&self, path: &Path) -> Result<(), Error> {
        let mut left = open(path)?.take(self.checked);
        let mut crc = crc32fast::Hasher::new();
        let mut piece = vec![0; 64 * 1024];
        let mut bytes = 0;
        loop {
            let read = left.read(&mut piece);
            match read.map_err(|error| Error::io(path, "read the file", error))? {
                0 => break,
                read => {
                    crc.update(piece.get(..read).unwrap_or_default());
                    bytes += read as u64;
                }
            }
        }
        if bytes == self.checked && crc.finalize() == self.crc {
            Ok(())
        } else {
            Err(Error::unreadable(path, "its checksum is wrong"))
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits() as i32);
    }
    let failed = |error| Error::io(path, "open the file", error);
    let file = options.open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    Ok(file)
}
