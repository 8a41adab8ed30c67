//! Writes rows to a file that exists either as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parquet::bloom_filter::Sbbf;
use parquet::column::writer::{ColumnCloseResult, ColumnWriter};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::writer::SerializedFileWriter;

use crate::Table;
use crate::error::Error;
use crate::file::directory::{DRAFT, private_options, sync};
use crate::file::name::Name;
use crate::step::{Step, Steps};
use crate::table::SCHEMA_VERSION;

pub(crate) const KEY_VERSION: &str = "ops_history.version";
pub(crate) const KEY_TABLE: &str = "ops_history.table";
pub(crate) const KEY_CHECKED: &str = "ops_history.checked_bytes";
pub(crate) const KEY_CRC: &str = "ops_history.crc32";
pub(crate) const KEY_REQUESTS: &str = "ops_history.requests";

/// Content of a file besides its row groups.
pub(crate) struct Content {
    /// Rows of the largest row group that is written rather than copied.
    pub(crate) rows: usize,
    /// Request counts for the footer.
    pub(crate) requests: Option<String>,
}

/// Writes a file with the row groups that `fill` writes. Returns its path and bytes once the name is synced to disk.
pub(crate) fn publish(
    dir: &Path,
    name: &Name,
    content: Content,
    steps: &Steps,
    fill: impl FnOnce(&mut RowGroups<'_>) -> ParquetResult<()>,
) -> Result<(PathBuf, u64), Error> {
    let folder = dir.join(name.table.as_str());
    let text = name.text();
    let path = folder.join(&text);
    let draft = Draft(folder.join(format!("{DRAFT}{text}")));
    let failed = |attempt| {
        let path = &path;
        move |error| Error::io(path, attempt, error)
    };
    let file = private_options().create(true).truncate(true).open(&draft.0);
    let file = file.map_err(failed("create the file"))?;
    steps.at(Step::Created).map_err(failed("create the file"))?;
    let written = write(name.table, content, &file, steps, fill);
    let bytes = written.map_err(|error| Error::parquet(&path, "write the file", error))?;
    steps.at(Step::Written).map_err(failed("write the file"))?;
    file.sync_all().map_err(failed("sync the file"))?;
    steps.at(Step::Synced).map_err(failed("write the file"))?;
    fs::rename(&draft.0, &path).map_err(failed("rename the new file to this path"))?;
    // from here on its rows are visible, even after a crash
    let on_disk = steps
        .at(Step::Named)
        .and_then(|()| sync(&folder))
        .and_then(|()| steps.at(Step::Published));
    if let Err(error) = on_disk {
        // the rows are counted as lost, so no reader may find them
        fs::remove_file(&path).map_err(failed("remove the file"))?;
        return Err(Error::io(&path, "sync the directory", error));
    }
    Ok((path, bytes))
}

/// A file that is removed on drop unless it was renamed.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // after the rename there is no file
        let _ = fs::remove_file(&self.0);
    }
}

/// Row groups of a file that is being written.
pub(crate) struct RowGroups<'a> {
    writer: SerializedFileWriter<Checked<'a>>,
    steps: &'a Steps,
    /// Number of columns.
    columns: usize,
}

impl RowGroups<'_> {
    /// Writes one row group: `column` is called for each column in turn.
    pub(crate) fn write(
        &mut self,
        mut column: impl FnMut(usize, &mut ColumnWriter<'_>) -> ParquetResult<()>,
    ) -> ParquetResult<()> {
        let mut group = self.writer.next_row_group()?;
        let mut index = 0;
        while let Some(mut next) = group.next_column()? {
            column(index, next.untyped())?;
            next.close()?;
            index += 1;
            if index == self.columns / 2 {
                half_written(self.steps)?;
            }
        }
        group.close()?;
        Ok(())
    }

    /// Copies a row group of another file unchanged, with its Bloom filters.
    pub(crate) fn copy(&mut self, file: &File, group: &RowGroupMetaData) -> ParquetResult<()> {
        let rows_written = u64::try_from(group.num_rows())?;
        let mut copy = self.writer.next_row_group()?;
        for (index, column) in group.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size())?,
                rows_written,
                metadata: column.clone(),
                bloom_filter: Sbbf::read_from_column_chunk(column, file)?,
                column_index: None,
                offset_index: None,
            };
            copy.append_column(file, close)?;
            if index + 1 == self.columns / 2 {
                half_written(self.steps)?;
            }
        }
        copy.close()?;
        Ok(())
    }
}

fn half_written(steps: &Steps) -> ParquetResult<()> {
    let at = steps.at(Step::HalfWritten);
    at.map_err(|error| ParquetError::External(Box::new(error)))
}

fn write(
    table: Table,
    content: Content,
    file: &File,
    steps: &Steps,
    fill: impl FnOnce(&mut RowGroups<'_>) -> ParquetResult<()>,
) -> ParquetResult<u64> {
    let checked = Checked {
        file,
        crc: crc32fast::Hasher::new(),
        bytes: 0,
    };
    let properties = table.properties(content.rows)?;
    let mut groups = RowGroups {
        writer: SerializedFileWriter::new(checked, table.schema()?, properties)?,
        steps,
        columns: table.columns().len(),
    };
    fill(&mut groups)?;
    let mut writer = groups.writer;
    writer.flush()?;
    let (crc, bytes) = {
        let checked = writer.inner();
        (checked.crc.clone().finalize(), checked.bytes)
    };
    for (key, value) in [
        (KEY_VERSION, SCHEMA_VERSION.to_string()),
        (KEY_TABLE, table.as_str().to_owned()),
        (KEY_CHECKED, bytes.to_string()),
        (KEY_CRC, format!("{crc:08x}")),
    ] {
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
    if let Some(requests) = content.requests {
        writer.append_key_value_metadata(KeyValue::new(KEY_REQUESTS.to_owned(), requests));
    }
    writer.finish()?;
    Ok(writer.inner().bytes)
}

/// A file, with the checksum of everything written to it.
struct Checked<'a> {
    file: &'a File,
    crc: crc32fast::Hasher,
    bytes: u64,
}

impl Write for Checked<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.crc.update(buffer.get(..written).unwrap_or(buffer));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
