//! Merges several files of one hour into one: row groups are copied where possible; the rows of the others are sorted,
//! column by column, so that only a piece of each column is in memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::FileReader;

use crate::error::Error;
use crate::file::cells::{CHUNK, Floats, Ids, Ints, Texts, type_mismatch};
use crate::file::directory::Found;
use crate::file::name::Name;
use crate::file::pieces::{Piece, pieces};
use crate::file::publish::{Content, publish};
use crate::file::requests::Requests;
use crate::file::stored::{Stored, times};
use crate::step::Steps;

/// Maximum number of rows of a merged file.
pub(crate) const MAX_ROWS: u64 = 256 * 1024;
/// Maximum number of files merged at once.
pub(crate) const MAX_SOURCES: usize = 32;

/// Failure of a merge: a source that cannot be read, or a failure to write.
pub(crate) enum Failure {
    Source(PathBuf, Error),
    Target(Error),
    Stopped,
}

/// Writes one file with the rows of all sources, which belong to one group and follow each other.
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
    let parts: Vec<_> = stored.iter().zip(sources).flat_map(parts).collect();
    let pieces = pieces(parts.iter().enumerate().map(|(at, part)| part.piece(at)));
    let name = Name {
        first: head.name.first,
        last: tail.name.last,
        ..head.name
    };
    let woven = pieces.iter().filter(|piece| piece.parts.len() > 1);
    let content = Content {
        rows: woven.map(|piece| piece.rows as usize).max().unwrap_or(0),
        requests: requests(&stored),
    };
    let mut damaged = None;
    let published = publish(dir, &name, content, steps, |groups| {
        for piece in &pieces {
            match parts.get(piece.parts.clone()).unwrap_or_default() {
                [part] => groups.copy(&part.stored.file, part.metadata)?,
                parts => {
                    let mut weaver = Weaver {
                        parts,
                        runs: order(parts, &mut damaged)?,
                        damaged: &mut damaged,
                    };
                    groups.write(|column, writer| {
                        if stop.load(Relaxed) {
                            return Err(ParquetError::General("stopped".to_owned()));
                        }
                        weaver.weave(column, writer)
                    })?;
                }
            }
        }
        Ok(())
    });
    match published {
        Ok((path, _)) => Ok(path),
        Err(_) if stop.load(Relaxed) => Err(Failure::Stopped),
        Err(error) => Err(match damaged {
            Some(damaged) => Failure::Source(damaged.path().to_owned(), damaged),
            None => Failure::Target(error),
        }),
    }
}

/// Merges the request counts of all files; `None` if one of them has none.
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

/// A row group of a source.
struct Part<'a> {
    stored: &'a Stored,
    path: &'a Path,
    index: usize,
    metadata: &'a RowGroupMetaData,
}

fn parts<'a>((stored, found): (&'a Stored, &'a Found)) -> impl Iterator<Item = Part<'a>> {
    let groups = stored.reader.metadata().row_groups().iter().enumerate();
    groups.map(|(index, metadata)| Part {
        stored,
        path: &found.path,
        index,
        metadata,
    })
}

impl Part<'_> {
    fn rows(&self) -> u64 {
        u64::try_from(self.metadata.num_rows()).unwrap_or(0)
    }

    fn piece(&self, at: usize) -> Piece {
        Piece {
            parts: at..at + 1,
            rows: self.rows(),
            // without times it may overlap any other row group
            times: times(self.metadata).unwrap_or((i64::MIN, i64::MAX)),
        }
    }

    fn damaged(&self, error: &ParquetError) -> Error {
        Error::unreadable(self.path, error.to_string())
    }

    fn reader<T: DataType>(&self, column: usize) -> ParquetResult<ColumnReaderImpl<T>> {
        let group = self.stored.reader.get_row_group(self.index)?;
        Ok(get_typed_column_reader::<T>(
            group.get_column_reader(column)?,
        ))
    }

    fn times(&self) -> ParquetResult<Vec<i64>> {
        let (mut times, rows) = (Vec::new(), self.rows() as usize);
        self.reader::<Ints>(0)?
            .read_records(rows, None, None, &mut times)?;
        if times.len() == rows {
            Ok(times)
        } else {
            Err(unexpected_end())
        }
    }
}

fn unexpected_end() -> ParquetError {
    ParquetError::General("a column is truncated".to_owned())
}

/// Consecutive rows of the merged file that come from one part.
struct Run {
    part: usize,
    rows: usize,
}

/// Returns the parts that the rows of the merged file come from, in the order of the rows.
fn order(parts: &[Part<'_>], damaged: &mut Option<Error>) -> ParquetResult<Vec<Run>> {
    let mut rows: Vec<(i64, u32)> = Vec::new();
    for (index, part) in (0..).zip(parts) {
        let times = part.times();
        let times = times.inspect_err(|error| *damaged = Some(part.damaged(error)))?;
        rows.extend(times.into_iter().map(|at| (at, index)));
    }
    // stable: rows of one part keep their order
    rows.sort_by_key(|(at, _)| *at);
    let runs = rows.chunk_by(|(_, a), (_, b)| a == b);
    let run = |run: &[(i64, u32)]| {
        let (_, part) = run.first()?;
        Some(Run {
            part: *part as usize,
            rows: run.len(),
        })
    };
    Ok(runs.filter_map(run).collect())
}

/// Interleaves the rows of several parts in order.
struct Weaver<'a> {
    parts: &'a [Part<'a>],
    runs: Vec<Run>,
    damaged: &'a mut Option<Error>,
}

impl Weaver<'_> {
    fn weave(&mut self, column: usize, writer: &mut ColumnWriter<'_>) -> ParquetResult<()> {
        match writer {
            ColumnWriter::Int64ColumnWriter(writer) => self.column::<Ints>(column, writer),
            ColumnWriter::DoubleColumnWriter(writer) => self.column::<Floats>(column, writer),
            ColumnWriter::ByteArrayColumnWriter(writer) => self.column::<Texts>(column, writer),
            ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
                self.column::<Ids>(column, writer)
            }
            _ => Err(type_mismatch()),
        }
    }

    fn column<T: DataType>(
        &mut self,
        column: usize,
        writer: &mut ColumnWriterImpl<'_, T>,
    ) -> ParquetResult<()> {
        let readers = self.parts.iter().map(|part| {
            let reader = part.reader::<T>(column);
            reader.inspect_err(|error| *self.damaged = Some(part.damaged(error)))
        });
        let mut readers = readers.collect::<ParquetResult<Vec<_>>>()?;
        let is_optional = writer.get_descriptor().max_def_level() > 0;
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let mut rows = 0;
        for run in &self.runs {
            let mut left = run.rows;
            while left > 0 {
                let wanted = left.min(CHUNK - rows);
                let reader = readers.get_mut(run.part).ok_or_else(unexpected_end)?;
                let levels_read = is_optional.then_some(&mut levels);
                let read = match reader.read_records(wanted, levels_read, None, &mut values) {
                    Ok((0, ..)) => Err(unexpected_end()),
                    read => read,
                };
                let part = self.parts.get(run.part);
                let (read, ..) = read.inspect_err(|error| {
                    *self.damaged = part.map(|part| part.damaged(error));
                })?;
                left -= read;
                rows += read;
                if rows == CHUNK {
                    write(writer, is_optional, &mut levels, &mut values)?;
                    rows = 0;
                }
            }
        }
        write(writer, is_optional, &mut levels, &mut values)
    }
}

/// Writes cells; `values` has only the non-null ones.
fn write<T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    is_optional: bool,
    levels: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> ParquetResult<()> {
    let written = writer.write_batch(values, is_optional.then_some(levels.as_slice()), None);
    levels.clear();
    values.clear();
    written.map(|_| ())
}
