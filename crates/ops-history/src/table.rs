//! Tables, their columns, and how each column is encoded.

use std::sync::Arc;

use parquet::basic::{
    Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel,
};
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnPath, Type};

/// Version of the tables. Files of another version are ignored and not changed.
pub const SCHEMA_VERSION: u32 = 1;

/// Event of access lines.
pub(crate) const REQUEST: &str = "request_completed";

/// False-positive rate of the Bloom filter on `trace_id`.
const TRACE_ID_FALSE_POSITIVES: f64 = 0.03;

/// A table of the history: a folder of files with the same columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Table {
    /// Log lines.
    Logs,
    /// Completed spans.
    Spans,
    /// Samples of metrics.
    Metrics,
}

impl Table {
    /// All tables.
    pub const ALL: &[Self] = &[Self::Logs, Self::Spans, Self::Metrics];

    /// Returns the name of the table, which is also that of its folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
            Self::Metrics => "metrics",
        }
    }

    /// Returns the columns in order; files are sorted by the first one, the time.
    pub(crate) fn columns(self) -> &'static [Column] {
        match self {
            Self::Logs => LOGS,
            Self::Spans => SPANS,
            Self::Metrics => METRICS,
        }
    }

    pub(crate) fn schema(self) -> Result<Arc<Type>> {
        let fields = self.columns().iter().map(|column| column.to_type());
        let fields = fields.collect::<Result<Vec<_>>>()?;
        let group = Type::group_type_builder(self.as_str()).with_fields(fields);
        Ok(Arc::new(group.build()?))
    }

    /// Returns the writer properties for row groups of up to this many rows.
    pub(crate) fn properties(self, rows: usize) -> Result<Arc<WriterProperties>> {
        let mut builder = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(None)
            .set_created_by(concat!("ops-history ", env!("CARGO_PKG_VERSION")).to_owned());
        for column in self.columns() {
            let path = || ColumnPath::from(column.name);
            let (has_dictionary, encoding) = match column.form {
                Form::Time | Form::Number => (false, Encoding::DELTA_BINARY_PACKED),
                Form::SharedPrefix => (false, Encoding::DELTA_BYTE_ARRAY),
                Form::Id(_) => (false, Encoding::PLAIN),
                Form::LowCardinality | Form::Code | Form::Json | Form::Float => {
                    (true, Encoding::PLAIN)
                }
            };
            builder = builder.set_column_dictionary_enabled(path(), has_dictionary);
            if !has_dictionary {
                builder = builder.set_column_encoding(path(), encoding);
            }
            if let Form::Id(_) = column.form {
                builder = builder
                    .set_column_compression(path(), Compression::UNCOMPRESSED)
                    .set_column_statistics_enabled(path(), EnabledStatistics::None);
            }
            if column.name == "trace_id" {
                // about one byte per row, so that a trace is found without reading all ids of a day
                builder = builder
                    .set_column_bloom_filter_enabled(path(), true)
                    .set_column_bloom_filter_ndv(path(), rows.max(1) as u64)
                    .set_column_bloom_filter_fpp(path(), TRACE_ID_FALSE_POSITIVES);
            }
        }
        Ok(Arc::new(builder.build()))
    }
}

pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
}

/// Kind of values in a column; determines the encoding.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// Microseconds since 1970; never null.
    Time,
    Number,
    /// A number with few distinct values.
    Code,
    Float,
    /// A text with few distinct values.
    LowCardinality,
    /// A text that shares a prefix with the one before it.
    SharedPrefix,
    Json,
    /// Bytes of an id.
    Id(i32),
}

const fn column(name: &'static str, form: Form) -> Column {
    Column { name, form }
}

const LOGS: &[Column] = &[
    column("timestamp", Form::Time),
    column("severity_text", Form::LowCardinality),
    column("severity_number", Form::Code),
    column("body", Form::LowCardinality),
    column("scope_name", Form::LowCardinality),
    column("trace_id", Form::Id(16)),
    column("span_id", Form::Id(8)),
    column("request_id", Form::SharedPrefix),
    column("http_request_method", Form::LowCardinality),
    column("url_path", Form::LowCardinality),
    column("http_route", Form::LowCardinality),
    column("http_response_status_code", Form::Code),
    column("duration_us", Form::Number),
    column("error_type", Form::LowCardinality),
    column("attributes", Form::Json),
    column("service_name", Form::LowCardinality),
    column("service_instance_id", Form::LowCardinality),
    column("run", Form::Code),
];

const SPANS: &[Column] = &[
    column("timestamp", Form::Time),
    column("duration_us", Form::Number),
    column("name", Form::LowCardinality),
    column("kind", Form::LowCardinality),
    column("trace_id", Form::Id(16)),
    column("span_id", Form::Id(8)),
    column("parent_span_id", Form::Id(8)),
    column("status_code", Form::LowCardinality),
    column("service_name", Form::LowCardinality),
    column("service_instance_id", Form::LowCardinality),
    column("run", Form::Code),
];

const METRICS: &[Column] = &[
    column("timestamp", Form::Time),
    column("name", Form::LowCardinality),
    column("type", Form::LowCardinality),
    column("unit", Form::LowCardinality),
    column("attributes", Form::Json),
    column("value", Form::Float),
    column("count", Form::Number),
    column("sum", Form::Float),
    column("explicit_bounds", Form::LowCardinality),
    column("bucket_counts", Form::LowCardinality),
    column("service_name", Form::LowCardinality),
    column("service_instance_id", Form::LowCardinality),
    column("run", Form::Code),
];

impl Column {
    fn to_type(&self) -> Result<Arc<Type>> {
        let (physical, logical, length) = match self.form {
            Form::Time => {
                let unit = TimeUnit::MICROS;
                let utc = LogicalType::Timestamp {
                    is_adjusted_to_u_t_c: true,
                    unit,
                };
                (Physical::INT64, Some(utc), 0)
            }
            Form::Number | Form::Code => (Physical::INT64, None, 0),
            Form::Float => (Physical::DOUBLE, None, 0),
            Form::LowCardinality | Form::SharedPrefix | Form::Json => {
                (Physical::BYTE_ARRAY, Some(LogicalType::String), 0)
            }
            Form::Id(length) => (Physical::FIXED_LEN_BYTE_ARRAY, None, length),
        };
        let repetition = match self.form {
            Form::Time => Repetition::REQUIRED,
            _ => Repetition::OPTIONAL,
        };
        let builder = Type::primitive_type_builder(self.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .with_length(length);
        Ok(Arc::new(builder.build()?))
    }
}
