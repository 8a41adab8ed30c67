//! Several files of one hour become one: column by column, so that no more than a piece of each is in memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::FileReader;

use crate::error::Error;
use crate::file::cells::{CHUNK, Floats, Ids, Ints, Texts, put};
use crate::file::directory::Found;
use crate::file::name::Name;
use crate::file::publish::{Content, publish};
use crate::file::requests::Requests;
use crate::file::stored::Stored;
use crate::step::Steps;

/// Rows of the largest merged file.
pub(crate) const MAX_ROWS: u64 = 256 * 1024;
/// Files that are merged at once.
pub(crate) const MAX_SOURCES: usize = 32;

/// Failure of a merge: of one file that cannot be read, or of writing.
pub(crate) enum Failure {
    Source(PathBuf, Error),
    Target(Error),
    Stopped,
}

/// Writes one file with the rows of all of these, which are of one group and follow each other.
pub(crate) fn merge(
    dir: &Path,
    sources: &[Found],
    steps: &Steps,
    stop: &AtomicBool,
) -> Result<PathBuf, Failure> {
    let (Some(head), Some(tail)) = (sources.first(), sources.last()) else {
        return Err(Failure::Stopped);
    };
    let mut stored = Vec::new();
    for source in sources {
        let failed = |error| Failure::Source(source.path.clone(), error);
        let one = Stored::open(source).map_err(failed)?;
        one.verify(&source.path).map_err(failed)?;
        stored.push(one);
    }
    let order = order(sources, &stored)?;
    let name = Name {
        first: head.name.first,
        last: tail.name.last,
        ..head.name
    };
    let content = Content {
        rows: order.len(),
        requests: requests(&stored),
    };
    let (path, _) = publish(dir, &name, content, steps, |column, writer| {
        if stop.load(Relaxed) {
            return Err(ParquetError::General(STOPPED.to_owned()));
        }
        match writer {
            ColumnWriter::Int64ColumnWriter(writer) => {
                weave::<Ints>(&stored, column, &order, writer)
            }
            ColumnWriter::DoubleColumnWriter(writer) => {
                weave::<Floats>(&stored, column, &order, writer)
            }
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                weave::<Texts>(&stored, column, &order, writer)
            }
            ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
                weave::<Ids>(&stored, column, &order, writer)
            }
            _ => Err(super::cells::other_type()),
        }
    })
    .map_err(|error| match stop.load(Relaxed) {
        true => Failure::Stopped,
        false => Failure::Target(error),
    })?;
    Ok(path)
}

const STOPPED: &str = "stopped";

/// Numbers of the requests of all files; `None` if one of them has none.
fn requests(stored: &[Stored]) -> Option<String> {
    let mut all: Option<Requests<'static>> = None;
    for one in stored {
        let requests = one.requests()?;
        match &mut all {
            Some(all) => all.add_all(requests),
            None => all = Some(requests),
        }
    }
    all?.to_text()
}

/// Returns the source of each row of the merged file.
fn order(sources: &[Found], stored: &[Stored]) -> Result<Vec<u8>, Failure> {
    let mut rows: Vec<(i64, u8)> = Vec::new();
    for (index, (source, one)) in sources.iter().zip(stored).enumerate() {
        let failed = |error| {
            let error = Error::parquet(&source.path, "read the file", error);
            Failure::Source(source.path.clone(), error)
        };
        let mut times = Cursor::<Ints>::new(one, 0).map_err(failed)?;
        let before = rows.len();
        while let Some(at) = times.next().map_err(failed)? {
            rows.push((at.unwrap_or_default(), index as u8));
        }
        if (rows.len() - before) as u64 != one.rows {
            let error = Error::unreadable(&source.path, "it has not as many rows as it says");
            return Err(Failure::Source(source.path.clone(), error));
        }
    }
    // stable: the rows of one source stay in their order
    rows.sort_by_key(|(at, _)| *at);
    Ok(rows.into_iter().map(|(_, source)| source).collect())
}

fn weave<T: DataType>(
    stored: &[Stored],
    column: usize,
    order: &[u8],
    writer: &mut ColumnWriterImpl<'_, T>,
) -> ParquetResult<()> {
    let cursors = stored.iter().map(|one| Cursor::<T>::new(one, column));
    let mut cursors = cursors.collect::<ParquetResult<Vec<_>>>()?;
    let mut order = order.iter();
    put(writer, || {
        let source = *order.next()?;
        let cursor = cursors.get_mut(usize::from(source))?;
        let cell = cursor.next();
        Some(cell.and_then(|cell| {
            cell.ok_or_else(|| ParquetError::General("a column ends early".to_owned()))
        }))
    })
}

/// Cells of one column of one file, one after the other.
struct Cursor<T: DataType> {
    reader: ColumnReaderImpl<T>,
    is_optional: bool,
    levels: std::vec::IntoIter<i16>,
    values: std::vec::IntoIter<T::T>,
}

impl<T: DataType> Cursor<T> {
    fn new(stored: &Stored, column: usize) -> ParquetResult<Self> {
        let group = stored.reader.get_row_group(0)?;
        let schema = stored.reader.metadata().file_metadata().schema_descr_ptr();
        Ok(Self {
            reader: get_typed_column_reader::<T>(group.get_column_reader(column)?),
            is_optional: schema.column(column).max_def_level() > 0,
            levels: Vec::new().into_iter(),
            values: Vec::new().into_iter(),
        })
    }

    fn next(&mut self) -> ParquetResult<Option<Option<T::T>>> {
        if self.levels.as_slice().is_empty() {
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let wanted = self.is_optional.then_some(&mut levels);
            let (rows, _, _) = self.reader.read_records(CHUNK, wanted, None, &mut values)?;
            if !self.is_optional {
                levels = vec![1; rows];
            }
            self.levels = levels.into_iter();
            self.values = values.into_iter();
        }
        Ok(match self.levels.next() {
            None => None,
            Some(0) => Some(None),
            Some(_) => match self.values.next() {
                Some(value) => Some(Some(value)),
                None => return Err(ParquetError::General("a value is missing".to_owned())),
            },
        })
    }
}
