//! A file on disk, which is validated before it is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;

use crate::error::Error;
use crate::file::directory::Found;
use crate::file::publish::{KEY_CHECKED, KEY_CRC, KEY_REQUESTS, KEY_TABLE, KEY_VERSION};
use crate::file::requests::Requests;
use crate::table::SCHEMA_VERSION;

/// A file whose footer is that of a history file.
pub(crate) struct Stored {
    pub(crate) reader: SerializedFileReader<File>,
    /// File behind `reader`.
    pub(crate) file: File,
    pub(crate) rows: u64,
    checked: u64,
    crc: u32,
}

impl Stored {
    /// Reads the footer and checks its version, table, columns and offsets.
    pub(crate) fn open(found: &Found) -> Result<Self, Error> {
        let path = &found.path;
        let file = open(path)?;
        let of_reader = file.try_clone();
        let of_reader = of_reader.map_err(|error| Error::io(path, "open the file", error))?;
        let wrong = |reason: String| Error::unreadable(path, reason);
        let reader = SerializedFileReader::new(of_reader)
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
                "unsupported schema version {version:?}, expected {SCHEMA_VERSION}"
            )));
        }
        let table = found.name.table;
        let expected = table.schema();
        let expected = expected.map_err(|error| wrong(error.to_string()))?;
        if value(KEY_TABLE).as_deref() != Some(table.as_str())
            || footer.schema().get_fields() != expected.get_fields()
        {
            return Err(wrong(format!("the columns do not match table {table:?}")));
        }
        let rows = u64::try_from(footer.num_rows()).ok();
        let checked = value(KEY_CHECKED).and_then(|text| text.parse().ok());
        let crc = value(KEY_CRC).and_then(|text| u32::from_str_radix(&text, 16).ok());
        let (Some(rows), Some(checked), Some(crc)) = (rows, checked, crc) else {
            return Err(wrong("missing checksum or row count".to_owned()));
        };
        let groups = reader.metadata().row_groups().iter();
        let of_groups = groups.clone().map(RowGroupMetaData::num_rows);
        if of_groups.fold(0, i64::saturating_add) != footer.num_rows() {
            return Err(wrong(
                "the row groups do not have the number of rows given in the footer".to_owned(),
            ));
        }
        let mut columns = groups.flat_map(RowGroupMetaData::columns);
        if !columns.all(|column| is_within(column, checked)) {
            return Err(wrong("a column is outside of the checked bytes".to_owned()));
        }
        Ok(Self {
            reader,
            file,
            rows,
            checked,
            crc,
        })
    }

    /// Returns the times of the first and last row in microseconds since 1970; `None` if the footer lacks them.
    #[cfg(feature = "sql")]
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let groups = self.reader.metadata().row_groups().iter();
        let times: Option<Vec<_>> = groups.map(times).collect();
        let times = times?;
        let first = times.iter().map(|(first, _)| *first).min()?;
        let last = times.iter().map(|(_, last)| *last).max()?;
        Some((first, last))
    }

    /// Returns the request counts; `None` if the footer has none, or they are damaged.
    pub(crate) fn requests(&self) -> Option<Requests<'static>> {
        let footer = self.reader.metadata().file_metadata();
        let mut pairs = footer.key_value_metadata().into_iter().flatten();
        let pair = pairs.find(|pair| pair.key == KEY_REQUESTS)?;
        Requests::parse(pair.value.as_deref()?)
    }

    /// Reads the file and compares its checksum.
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
            Err(Error::unreadable(path, "checksum mismatch"))
        }
    }
}

/// Returns the times of the first and last row of a row group; `None` if it lacks them.
pub(crate) fn times(group: &RowGroupMetaData) -> Option<(i64, i64)> {
    match group.columns().first()?.statistics()? {
        Statistics::Int64(times) => Some((*times.min_opt()?, *times.max_opt()?)),
        _ => None,
    }
}

/// Returns `true` if a column and its Bloom filter are within the first `bytes` bytes of the file.
fn is_within(column: &ColumnChunkMetaData, bytes: u64) -> bool {
    let range = |start: i64, length: i64| {
        let end = u64::try_from(start)
            .ok()?
            .checked_add(u64::try_from(length).ok()?);
        Some(end? <= bytes)
    };
    let data = column.data_page_offset();
    let start = column.dictionary_page_offset().unwrap_or(data);
    let filter = match (column.bloom_filter_offset(), column.bloom_filter_length()) {
        (None, None) => Some(true),
        (Some(start), Some(length)) => range(start, i64::from(length)),
        _ => Some(false),
    };
    start <= data && range(start, column.compressed_size()) == Some(true) && filter == Some(true)
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
        return Err(failed(io::Error::other("not a regular file")));
    }
    Ok(file)
}
