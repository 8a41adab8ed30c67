use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    Int64Type,
};
use parquet::errors::{ParquetError, Result};

use crate::table::Form;

/// Number of rows written at once.
pub(crate) const CHUNK: usize = 1024;

/// Values of one column.
pub(crate) enum Cells {
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Text(Vec<Option<ByteArray>>),
    Id(Vec<Option<FixedLenByteArray>>),
}

impl Cells {
    pub(crate) fn of(form: Form) -> Self {
        match form {
            Form::Time | Form::Number | Form::Code => Self::Int(Vec::new()),
            Form::Float => Self::Float(Vec::new()),
            Form::LowCardinality | Form::SharedPrefix | Form::Json => Self::Text(Vec::new()),
            Form::Id(_) => Self::Id(Vec::new()),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Int(cells) => cells.clear(),
            Self::Float(cells) => cells.clear(),
            Self::Text(cells) => cells.clear(),
            Self::Id(cells) => cells.clear(),
        }
    }

    /// Returns the text in a row.
    pub(crate) fn text(&self, row: usize) -> Option<&str> {
        match self {
            Self::Text(cells) => cells.get(row)?.as_ref()?.as_utf8().ok(),
            _ => None,
        }
    }

    /// Returns the number in a row.
    pub(crate) fn int(&self, row: usize) -> Option<i64> {
        match self {
            Self::Int(cells) => cells.get(row).copied().flatten(),
            _ => None,
        }
    }

    /// Moves the values of these rows out and writes them in this order.
    pub(crate) fn write(&mut self, rows: &[u32], writer: &mut ColumnWriter<'_>) -> Result<()> {
        match (self, writer) {
            (Self::Int(cells), ColumnWriter::Int64ColumnWriter(writer)) => {
                write_values(cells, rows, writer)
            }
            (Self::Float(cells), ColumnWriter::DoubleColumnWriter(writer)) => {
                write_values(cells, rows, writer)
            }
            (Self::Text(cells), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                write_values(cells, rows, writer)
            }
            (Self::Id(cells), ColumnWriter::FixedLenByteArrayColumnWriter(writer)) => {
                write_values(cells, rows, writer)
            }
            _ => Err(type_mismatch()),
        }
    }
}

fn write_values<T: DataType>(
    cells: &mut [Option<T::T>],
    rows: &[u32],
    writer: &mut ColumnWriterImpl<'_, T>,
) -> Result<()> {
    let is_optional = writer.get_descriptor().max_def_level() > 0;
    let (mut levels, mut values) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    for rows in rows.chunks(CHUNK) {
        levels.clear();
        values.clear();
        for row in rows {
            // cloning a value would increment its reference count, which costs as much as the value
            let cell = cells.get_mut(*row as usize).and_then(Option::take);
            levels.push(i16::from(cell.is_some()));
            values.extend(cell);
        }
        writer.write_batch(&values, is_optional.then_some(&levels), None)?;
    }
    Ok(())
}

pub(crate) fn type_mismatch() -> ParquetError {
    ParquetError::General("a column type does not match the schema of its table".to_owned())
}

/// Parquet types of the columns.
pub(crate) type Ints = Int64Type;
pub(crate) type Floats = DoubleType;
pub(crate) type Texts = ByteArrayType;
pub(crate) type Ids = FixedLenByteArrayType;
