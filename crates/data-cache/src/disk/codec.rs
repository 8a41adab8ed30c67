//! Encoding of batches: Parquet if it reproduces its input, else an Arrow IPC stream.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, Decimal64Array, Decimal128Array, Decimal256Array, RecordBatch,
    RecordBatchReader,
};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde::{Deserialize, Serialize};

use super::ipc::{self, Schemas};
use crate::config::Codec;

/// Format of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Parquet,
    Ipc,
}

impl Format {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Ipc => "arrow",
        }
    }
}

pub(crate) struct Encoded {
    pub(crate) format: Format,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Decoded {
    /// At least one batch, which carries the schema.
    pub(crate) batches: Vec<RecordBatch>,
}

/// Maximum number of rows of a decoded batch.
pub(super) const BATCH_ROWS: usize = 65_536;

/// Maximum nesting depth of types: readers of Arrow IPC, which Parquet contains too, reject deeper schemas, and a
/// Parquet writer uses so much stack per level that it would overflow.
const MAX_LEVELS: usize = 60;

/// Encodes batches of one schema; at least one is required. A panic of an encoder is returned as an error.
pub(crate) fn encode(batches: &[RecordBatch], codec: Codec) -> Result<Encoded, String> {
    let schema = batches.first().ok_or("no batches, so no schema")?.schema();
    let mut types = schema.fields().iter().map(|field| field.data_type());
    if types.any(|data_type| is_deeper(data_type, MAX_LEVELS)) {
        return Err(format!(
            "types are nested more than {MAX_LEVELS} levels deep"
        ));
    }
    // without columns, Parquet does not store the number of rows
    let may_be_parquet = codec == Codec::Parquet && !schema.fields().is_empty();
    if may_be_parquet && schema.fields().iter().all(|f| parquet_holds(f.data_type())) {
        let tried = catch_unwind(AssertUnwindSafe(|| encode_parquet(&schema, batches)));
        if let Ok(Some(bytes)) = tried {
            return Ok(Encoded {
                format: Format::Parquet,
                bytes,
            });
        }
    }
    let tried = catch_unwind(AssertUnwindSafe(|| ipc::encode(&schema, batches)));
    let bytes = tried.map_err(|_| "the IPC encoder panicked".to_owned())??;
    Ok(Encoded {
        format: Format::Ipc,
        bytes,
    })
}

/// Returns `true` if Parquet can store this type. Parquet 58 cannot store unions and dictionaries of views (it panics),
/// intervals, empty structs, run-end encoding and list views; it cannot read back dictionaries of booleans, nulls and
/// fixed-size binaries, and fixed-size binaries of zero bytes.
fn parquet_holds(data_type: &DataType) -> bool {
    !holds(data_type, &|part| match part {
        DataType::Union(..)
        | DataType::Interval(_)
        | DataType::FixedSizeBinary(0)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => true,
        DataType::Struct(fields) => fields.is_empty(),
        DataType::Dictionary(_, value) => matches!(
            **value,
            DataType::Boolean
                | DataType::Null
                | DataType::FixedSizeBinary(_)
                | DataType::Utf8View
                | DataType::BinaryView
        ),
        _ => false,
    })
}

/// Returns `true` if `is_meant` returns `true` for a type or a type nested in it.
pub(super) fn holds(data_type: &DataType, is_meant: &impl Fn(&DataType) -> bool) -> bool {
    is_meant(data_type) || any_part(data_type, |part| holds(part, is_meant))
}

/// Returns `true` if types are nested deeper than `levels`.
fn is_deeper(data_type: &DataType, levels: usize) -> bool {
    levels == 0 || any_part(data_type, |part| is_deeper(part, levels - 1))
}

/// Returns `true` if `is_meant` returns `true` for a direct component of this type.
fn any_part(data_type: &DataType, is_meant: impl Fn(&DataType) -> bool) -> bool {
    let within = |field: &Field| is_meant(field.data_type());
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| within(field)),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| within(field)),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _)
        | DataType::RunEndEncoded(_, field) => within(field),
        DataType::Dictionary(_, value) => is_meant(value),
        _ => false,
    }
}

/// Returns `false` if a decimal has more digits than its precision, which arrow
/// does not enforce: Parquet writes as many bytes as the precision takes.
fn fits_precision(data: &ArrayData) -> bool {
    let fits = match data.data_type() {
        DataType::Decimal64(precision, _) => {
            Decimal64Array::from(data.clone()).validate_decimal_precision(*precision)
        }
        DataType::Decimal128(precision, _) => {
            Decimal128Array::from(data.clone()).validate_decimal_precision(*precision)
        }
        DataType::Decimal256(precision, _) => {
            Decimal256Array::from(data.clone()).validate_decimal_precision(*precision)
        }
        _ => Ok(()),
    };
    fits.is_ok() && data.child_data().iter().all(fits_precision)
}

/// Decodes what [`encode`] produced elsewhere, with this number of rows.
#[cfg(feature = "shared")]
pub(crate) fn decode(format: Format, bytes: Bytes, rows: u64) -> Result<Vec<RecordBatch>, String> {
    let decoded = Decoded::from_bytes(format, bytes, &Schemas::default())?;
    match decoded.rows() {
        Some(found) if found == rows => Ok(decoded.batches),
        found => Err(format!("expected {rows} rows, found {found:?}")),
    }
}

/// Returns `true` if a type contains a dictionary with 8-bit or 16-bit keys: the reader merges the dictionaries of many
/// batches into one, and may run out of keys.
fn has_short_keys(data_type: &DataType) -> bool {
    holds(data_type, &|part| match part {
        DataType::Dictionary(key, _) => key.primitive_width().is_some_and(|bytes| bytes < 4),
        _ => false,
    })
}

/// Encodes as Parquet; `None` if Parquet would not reproduce the schema or the rows.
fn encode_parquet(schema: &Arc<Schema>, batches: &[RecordBatch]) -> Option<Vec<u8>> {
    let mut columns = batches.iter().flat_map(RecordBatch::columns);
    if !columns.all(|column| fits_precision(&column.to_data())) {
        return None;
    }
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).ok()?))
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut data = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut data, schema.clone(), Some(properties)).ok()?;
    for batch in batches {
        writer.write(batch).ok()?;
    }
    writer.close().ok()?;
    let data = Bytes::from(data);
    let reader = ParquetRecordBatchReaderBuilder::try_new(data.clone()).ok()?;
    let same =
        reader.schema() == schema && reader.build().ok()?.schema().fields() == schema.fields();
    let may_fail = schema
        .fields()
        .iter()
        .any(|f| has_short_keys(f.data_type()));
    let is_read = same && (!may_fail || decode_parquet(data.clone()).is_ok());
    is_read.then(|| data.into())
}

impl Decoded {
    /// Decodes what [`encode`] produced. A panic of a decoder is returned as an error.
    pub(super) fn from_bytes(
        format: Format,
        bytes: Bytes,
        schemas: &Schemas,
    ) -> Result<Self, String> {
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            let (schema, mut batches) = match format {
                Format::Parquet => decode_parquet(bytes)?,
                Format::Ipc => ipc::decode(bytes, schemas)?,
            };
            if batches.is_empty() {
                batches.push(RecordBatch::new_empty(schema));
            }
            Ok(Self { batches })
        }));
        decoded.unwrap_or_else(|_| Err("the decoder panicked".to_owned()))
    }

    /// Number of rows; `None` on overflow.
    pub(super) fn rows(&self) -> Option<u64> {
        self.batches.iter().try_fold(0_u64, |rows, batch| {
            rows.checked_add(batch.num_rows() as u64)
        })
    }
}

pub(super) type SchemaAndBatches = (Arc<Schema>, Vec<RecordBatch>);

fn decode_parquet(bytes: Bytes) -> Result<SchemaAndBatches, String> {
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| error.to_string())?;
    let schema = builder.schema().clone();
    let reader = builder
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| error.to_string())?;
    // the reader drops the metadata of the schema
    let batches = reader
        .map(|batch| batch?.with_schema(schema.clone()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    Ok((schema, batches))
}
